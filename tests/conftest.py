# SPDX-License-Identifier: GPL-2.0-only
"""What all tests share: who may make namespaces, and that nothing of ours is left behind."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from pyroute2 import netns

from towline.lab import leftovers
from towline.owner import owner

# No database: tests that run as root would leave files of root's in the tree.
# No deadline: the machine may be busy with something else.
hypothesis.settings.register_profile("towline", database=None, deadline=None)
hypothesis.settings.load_profile("towline")


@pytest.fixture
def namespaces() -> Iterator[None]:
    """A test that makes namespaces: skipped without root only, and checked to leave nothing behind.

    With root there is no skip: if namespaces cannot be made then, the test fails where it makes them.
    """
    if os.geteuid() != 0:
        pytest.skip("needs root (CAP_SYS_ADMIN and CAP_NET_ADMIN for namespaces, CAP_BPF for programs)")
    before = ours()
    yield
    assert ours() - before == set()


def ours() -> set[str]:
    """Namespaces and temporary folders of this process."""
    folders = (leftovers.MEMORY_FOLDER, Path(tempfile.gettempdir()))
    found = [path.name for folder in folders if folder.is_dir() for path in folder.iterdir()]
    return {name for name in (*netns.listnetns(), *found) if owner() in name}
