# SPDX-License-Identifier: GPL-2.0-only
"""`towline lab report`: which page is made, where, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.lab.report.made_up import ACK, made_up
from towline.cli.report import report
from towline.errors import SettingsError

SMALL = ACK.partition("[plot.spread]")[0]


def test_report__one_sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made_up(tmp_path / "ack", SMALL)
    assert report(tmp_path / "ack") == 0
    assert capsys.readouterr().out == f"{tmp_path / 'ack' / 'report.html'}\n"
    assert (tmp_path / "ack" / "goodput.svg").exists()


def test_report__output(tmp_path: Path) -> None:
    made_up(tmp_path / "ack", SMALL)
    report(tmp_path / "ack", output=tmp_path / "x.html")
    assert (tmp_path / "x.html").exists()
    assert not (tmp_path / "ack" / "report.html").exists()


def test_report__folder_of_sweeps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        made_up(tmp_path / name, SMALL)
    report(tmp_path)
    assert capsys.readouterr().out == f"{tmp_path / 'report.html'}\n"
    assert "What the laboratory found" in (tmp_path / "report.html").read_text()
    assert (tmp_path / "a" / "report.html").exists()


def test_report__several_sweeps_beside_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        made_up(tmp_path / name, SMALL)
    report(tmp_path / "a", tmp_path / "b")
    assert capsys.readouterr().out == f"{tmp_path / 'report.html'}\n"


def test_report__compare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        made_up(tmp_path / name, SMALL)
    report(tmp_path / "a", compare=tmp_path / "b")
    assert capsys.readouterr().out == f"{tmp_path / 'a' / 'difference.html'}\n"


def test_report__json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made_up(tmp_path / "a", SMALL)
    report(tmp_path / "a", json=True)
    found = json.loads(capsys.readouterr().out)
    assert len(found["cells"]) == 6
    assert not (tmp_path / "a" / "report.html").exists()


def test_report__nothing_named() -> None:
    with pytest.raises(SettingsError, match="say whose results"):
        report()


def test_report__no_results(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="holds no results"):
        report(tmp_path)


def test_report__compare_takes_one(tmp_path: Path) -> None:
    for name in ("x/a", "x/b"):
        made_up(tmp_path / name, SMALL)
    with pytest.raises(SettingsError, match="one sweep on each side"):
        report(tmp_path / "x", compare=tmp_path / "x" / "a")
    with pytest.raises(SettingsError, match="leave out"):
        report(tmp_path / "x" / "a", compare=tmp_path / "x" / "b", json=True)


def test_report__different_folders_need_an_output(tmp_path: Path) -> None:
    for name in ("x/a", "y/b"):
        made_up(tmp_path / name, SMALL)
    with pytest.raises(SettingsError, match="--output"):
        report(tmp_path / "x" / "a", tmp_path / "y" / "b")
