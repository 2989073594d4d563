# SPDX-License-Identifier: GPL-2.0-only
"""The demonstration: which file it takes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from towline.cli import demo
from towline.errors import FileError


def make(path: Path, size_bytes: int) -> None:
    """A file of holes: it is as long as that and takes no room."""
    path.touch()
    os.truncate(path, size_bytes)


def test_large_file__the_largest_that_is_not_too_large(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    make(tmp_path / "huge", (1 << 30) + 1)
    make(tmp_path / "below" / "large", 70 << 20)
    make(tmp_path / "less", 65 << 20)
    (tmp_path / "link").symlink_to("huge")
    assert demo.large_file(tmp_path) == tmp_path / "below" / "large"


def test_large_file__the_largest_where_all_are_small(tmp_path: Path) -> None:
    make(tmp_path / "a", 10)
    make(tmp_path / "b", 11)
    assert demo.large_file(tmp_path) == tmp_path / "b"


def test_large_file__none(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/usr/bin/env")
    with pytest.raises(FileError, match="name one"):
        demo.large_file(tmp_path)
