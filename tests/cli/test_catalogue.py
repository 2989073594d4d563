# SPDX-License-Identifier: GPL-2.0-only
"""`towline lab list`: a table for people, JSON for programs."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from towline.cli import catalogue
from towline.errors import SettingsError
from towline.lab.catalogue import Entry

FOUND = {"levels": [Entry(name="raw", what="nothing", missing="no [root]")], "plans": []}


@pytest.fixture(autouse=True)
def found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "catalogue", lambda folder: FOUND)


def test_list__names_what_is_missing_and_where_plans_would_be(capsys: pytest.CaptureFixture[str]) -> None:
    assert catalogue.list_() == 0
    said = capsys.readouterr().out
    assert "nothing. not here: no [root]" in said
    assert "no plans in plans: say where" in said


def test_list__json_is_one_object(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    assert catalogue.list_(json=True) == 0
    said = msgspec.json.decode(capsysbinary.readouterr().out)
    assert said == {"levels": [{"name": "raw", "what": "nothing", "missing": "no [root]"}], "plans": []}


def test_list__a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="there is no such folder"):
        catalogue.list_(plans=tmp_path / "none")
