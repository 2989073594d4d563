# SPDX-License-Identifier: GPL-2.0-only
"""Leftovers: names tell their owner, and a sweep takes what is orphaned and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from pyroute2 import netns

from towline.lab import leftovers

MAKE_AND_DIE = """
import os, signal, sys
from pyroute2 import netns
from towline.lab import leftovers
name = leftovers.namespace_names("a")[0]
netns.create(name)
with leftovers.temporary_folder(0) as folder:
    print(name, folder, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_namespace_names__belong_together_and_are_never_given_twice() -> None:
    first, second = leftovers.namespace_names("ab"), leftovers.namespace_names("ab")
    assert len({*first, *second}) == 4
    assert all(name.startswith(f"tl{os.getpid()}-") for name in (*first, *second))
    assert first[0][:-1] == first[1][:-1]


def test_temporary_folder__is_gone_afterwards_with_all_in_it() -> None:
    with leftovers.temporary_folder(0) as folder:
        (folder / "below").mkdir()
        (folder / "below" / "file").write_text("x")
        assert folder.name.startswith(f"towline-{os.getpid()}-")
    assert not folder.exists()


def test_temporary_folder__too_large_for_memory_is_on_disk() -> None:
    with leftovers.temporary_folder(1 << 60) as folder:
        assert folder.parent == Path(tempfile.gettempdir())


def test_sweep__leaves_alone_what_has_an_owner_and_what_is_not_ours(tmp_path: Path) -> None:
    other = Path(tempfile.mkdtemp(prefix="towline-notes-"))
    try:
        with leftovers.temporary_folder(0) as folder:
            leftovers.sweep()
            assert folder.is_dir()
            assert other.is_dir()
    finally:
        other.rmdir()


def test_sweep__a_pid_that_is_used_again_is_not_the_owner() -> None:
    folder = Path(tempfile.mkdtemp(prefix=f"towline-{os.getpid()}-1-"))  # we did not start at tick 1
    assert f"folder {folder}" in leftovers.sweep()
    assert not folder.exists()


@pytest.mark.usefixtures("namespaces")
def test_sweep__after_kill() -> None:
    killed = subprocess.run([sys.executable, "-c", MAKE_AND_DIE], capture_output=True, text=True, check=False)
    assert killed.returncode == -9
    name, folder = killed.stdout.split()
    assert name in netns.listnetns()
    assert Path(folder).is_dir()
    removed = leftovers.sweep()
    assert {f"namespace {name}", f"folder {folder}"} <= set(removed)
    assert name not in netns.listnetns()
    assert not Path(folder).exists()
