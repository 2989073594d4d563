# SPDX-License-Identifier: GPL-2.0-only
"""Pins are one process's at a time, whatever becomes of it; what is not ours there is removed, and not believed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.own_pins import own_folder
from towline.delivery.pins import Pins, abandoned
from towline.errors import UnsupportedError
from towline.kernel import bpffs
from towline.kernel.memory import Map
from towline.kernel.objects import describe_map

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root (CAP_BPF)")

CLAIM = """
import sys
from pathlib import Path
from towline.delivery.pins import Pins
from towline.kernel import bpffs
bpffs.OURS = sys.argv[1]
Pins(Path(sys.argv[2])).claim()
print("claimed", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with own_folder(monkeypatch) as path:
        yield path / "persist" / "1-1"


@pytest.fixture
def something() -> Iterator[Map]:
    with Map.create_array("tl_something", 8) as made:
        yield made


def test_claim__one_at_a_time_and_named(folder: Path) -> None:
    first, second = Pins(folder), Pins(folder)
    first.claim()
    with pytest.raises(UnsupportedError, match=f"which process {os.getpid()} serves"):
        second.claim()
    first.release()
    assert not folder.exists()
    second.claim()
    second.release()


def test_claim__of_a_process_that_was_killed_and_not_waited_for(folder: Path, something: Map) -> None:
    command = [sys.executable, "-c", CLAIM, bpffs.OURS, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"claimed\n"
        mine = Pins(folder)
        with pytest.raises(UnsupportedError, match=f"which process {other.pid} serves"):
            mine.claim()
        os.kill(other.pid, signal.SIGKILL)
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and stays a zombie
        mine.claim()
        mine.keep("transfer-1", something)
        mine.release()
    assert [path.name for path in folder.iterdir()] == ["transfer-1"]  # for the next one


def test_claim__of_a_folder_that_is_removed_meanwhile(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = bpffs.folder
    turns = iter((True, True, False))

    def removed(*below: str) -> Path:
        found = made(*below)
        if len(below) > 0 and next(turns):
            found.rmdir()  # as a process does that ends
        return found

    monkeypatch.setattr(bpffs, "folder", removed)
    pins = Pins(folder)
    pins.claim()
    pins.release()


@pytest.mark.parametrize("ifindex", [1, None])
def test_link__what_is_none_is_removed(folder: Path, something: Map, ifindex: int | None) -> None:
    pins = Pins(folder)
    pins.claim()
    pins.keep("link", something)
    assert pins.link(ifindex) is None
    assert pins.names("") == []
    assert pins.link(ifindex) is None
    pins.release()


def test_map__is_what_was_kept(folder: Path, something: Map) -> None:
    pins = Pins(folder)
    pins.claim()
    something.set(bytes(4), bytes(range(8)))
    pins.keep("transfer-2", something)
    pins.keep("transfer-1", something)
    pins.keep("blocks-1", something)
    assert pins.names("transfer-") == ["transfer-1", "transfer-2"]
    with pins.map("transfer-1") as found:
        assert found.get(bytes(4)) == bytes(range(8))
    pins.remove("transfer-1")
    pins.remove("transfer-1")
    with pytest.raises(FileNotFoundError):
        pins.map("transfer-1")
    pins.remove_all()
    assert not folder.exists()


def test_abandoned__are_those_that_nobody_serves(folder: Path, something: Map) -> None:
    serving, ended = Pins(folder), Pins(folder.with_name("1-2"))
    for pins in (serving, ended):
        pins.claim()
        pins.keep("transfer-1", describe_map(os.dup(something.fd)))
    ended.release()
    for pins in abandoned():
        assert pins.folder == ended.folder
        with pytest.raises(UnsupportedError):
            ended.claim()  # nobody goes on with it while it is removed
        pins.remove_all()
    assert list(abandoned()) == []
    assert not ended.folder.exists()
    serving.remove_all()
