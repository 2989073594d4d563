# SPDX-License-Identifier: GPL-2.0-only
"""Many sweeps on one page."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.report import pages
from tests.lab.report.made_up import ACK, made_up
from towline.errors import SettingsError
from towline.lab import report

SMALL = ACK.partition("[plot.spread]")[0]


def test_index__questions_answers_and_sections(tmp_path: Path) -> None:
    made_up(tmp_path / "one", SMALL)
    made_up(tmp_path / "two", SMALL.replace("does acknowledging", "once more, does acknowledging"))
    (tmp_path / "empty").mkdir()
    folders = report.sweeps_in(tmp_path)
    assert folders == [tmp_path / "one", tmp_path / "two"]
    where = report.index(folders, tmp_path / "all.html")
    page = pages.sound(where.read_text())
    assert page.tags["svg"] == 2
    assert page.text.count("Once more, does acknowledging less often help, and until when?") == 2  # index and section
    assert page.text.count("Goodput: of 4 comparisons 4 faster") == 4
    assert set(page.links) >= {"#ack-0", "#ack-1"}
    for folder in folders:
        assert pages.sound((folder / "report.html").read_text()).tags["svg"] == 1
        assert (folder / "goodput.svg").exists()


def test_index__no_sweep(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="holds no results"):
        report.index([tmp_path], tmp_path / "all.html")
