# SPDX-License-Identifier: GPL-2.0-only
"""A partial file that another process has begun is gone on with, and never mistaken."""

from __future__ import annotations

from pathlib import Path

import pytest

from towline.errors import FileError
from towline.transfer.files import FileSink
from towline.transfer.parts import kept_part

NAME = "the file"


def test_open_again__a_finished_file_is_known_by_its_number(tmp_path: Path) -> None:
    part = kept_part()
    first = FileSink(tmp_path, overwrite=False, kept=part)
    first.open(NAME, 0o600, 0)
    inode = first.inode()
    second = FileSink(tmp_path, overwrite=False, kept=part)
    assert second.open_again(NAME, 0o600, 0, inode)
    first.finish(0)
    third = FileSink(tmp_path, overwrite=False, kept=part)
    assert not third.open_again(NAME, 0o600, 0, inode)
    assert third.path == tmp_path / NAME
    (tmp_path / NAME).unlink()
    (tmp_path / NAME).write_text("somebody else's")
    with pytest.raises(FileError):
        FileSink(tmp_path, overwrite=False, kept=part).open_again(NAME, 0o600, 0, (inode[0], inode[1] + 1_000_000))
    second._close()
