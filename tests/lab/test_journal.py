# SPDX-License-Identifier: GPL-2.0-only
"""A journal has every line that was appended, and none that is half written."""

from __future__ import annotations

from pathlib import Path

import pytest

from towline.errors import FileError
from towline.lab.journal import Journal, lines


def test_append__is_there_at_once(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal:
        journal.append({"a": 1})
        assert list(lines(tmp_path / "j")) == [{"a": 1}]


def test_journal__goes_on_behind_what_is_there(tmp_path: Path) -> None:
    for number in range(2):
        with Journal(tmp_path / "j") as journal:
            journal.append({"a": number})
    assert list(lines(tmp_path / "j")) == [{"a": 0}, {"a": 1}]


@pytest.mark.parametrize("torn", ['{"a"', '{"a":' + "1" * 200_000, "\0" * 5])
def test_journal__cuts_a_torn_line_off(tmp_path: Path, torn: str) -> None:
    path = tmp_path / "j"
    path.write_text('{"a":0}\n' + torn)
    assert list(lines(path)) == [{"a": 0}]
    with Journal(path) as journal:
        journal.append({"a": 1})
    assert list(lines(path)) == [{"a": 0}, {"a": 1}]


def test_journal__cuts_a_torn_first_line_off(tmp_path: Path) -> None:
    path = tmp_path / "j"
    path.write_text('{"a"')
    with Journal(path) as journal:
        journal.append({"a": 1})
    assert list(lines(path)) == [{"a": 1}]


def test_journal__has_one_writer(tmp_path: Path) -> None:
    with Journal(tmp_path / "j"), pytest.raises(FileError, match="another sweep"), Journal(tmp_path / "j"):
        pass
    with Journal(tmp_path / "j"):
        pass


def test_lines__names_a_damaged_line(tmp_path: Path) -> None:
    (tmp_path / "j").write_text('{"a":0}\n{"a\n{"a":2}\n')
    with pytest.raises(FileError, match="line 2 is damaged"):
        list(lines(tmp_path / "j"))


def test_lines__none_without_a_file(tmp_path: Path) -> None:
    assert list(lines(tmp_path / "j")) == []
