# SPDX-License-Identifier: GPL-2.0-only
"""What whole transfers need: a pair of namespaces for commands typed by hand, and a folder in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from towline.lab.environments import veth
from towline.lab.leftovers import MEMORY_FOLDER


@pytest.fixture
def path(namespaces: None) -> Iterator[veth.Path]:
    """The environment in which the test types `receive` and `send` itself."""
    with veth.veth(lanes=2, mtu=3394) as made:
        yield made


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where received files go: in memory, if the machine has such a folder."""
    parent = MEMORY_FOLDER if MEMORY_FOLDER.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="towline-test-", dir=parent) as name:
        yield Path(name)
