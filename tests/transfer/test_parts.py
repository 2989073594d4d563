# SPDX-License-Identifier: GPL-2.0-only
"""Whose a partial file is, and whether anybody will go on with it, is read off its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from towline.owner import owner
from towline.transfer import parts
from towline.transfer.files import FileSink

NAME = "the file"


def swept(folder: Path, *names: str) -> set[str]:
    """Which of these are still there when a file has been opened beside them."""
    for name in names:
        (folder / name).touch()
    sink = FileSink(folder, overwrite=False)
    sink.open(NAME, 0o600, 0)
    sink.discard()
    return {path.name for path in folder.iterdir()}


def test_sweep__a_kept_partial_file_lives_as_long_as_the_machine_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = parts.kept_part()
    monkeypatch.setattr(parts, "_boot", lambda: "00000000")
    earlier = parts.kept_part()
    monkeypatch.undo()
    others = mine.replace(parts._machine(), "ffffffff").replace(parts._boot(), "00000000")
    assert swept(tmp_path, mine, earlier, others) == {mine, others}


def test_sweep__any_other_partial_file_lives_as_long_as_its_process(tmp_path: Path) -> None:
    mine = parts.own_part("of\nany name")
    pid = owner().partition("-")[0]
    ended = mine.replace(owner(), f"{pid}-0")  # it had our number before us
    others = ended.replace(parts._machine(), "ffffffff")
    somebody_s = ended.removesuffix(".part")
    assert swept(tmp_path, mine, ended, others, somebody_s) == {mine, others, somebody_s}


def test_remove_kept__nothing_that_is_called_otherwise(tmp_path: Path) -> None:
    kept, own = parts.kept_part(), parts.own_part(NAME)
    for name in (kept, own, NAME):
        (tmp_path / name).touch()
    (tmp_path / "below").mkdir()
    for name in (kept, kept, own, NAME, f"below/../{kept}"):
        parts.remove_kept(tmp_path, name)
    assert {path.name for path in tmp_path.iterdir()} == {own, NAME, "below"}
