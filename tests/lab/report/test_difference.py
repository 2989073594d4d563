# SPDX-License-Identifier: GPL-2.0-only
"""What changed between two sweeps."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.lab.report import pages
from tests.lab.report.made_up import ACK, made_up, ordinary
from towline.lab import report
from towline.lab.plans.plan import Cell


def slower(cell: Cell, repetition: int) -> Mapping[str, Any]:
    usual = float(ordinary(cell, repetition)["goodput_gbps"])
    return {"version": "0.0.9", "goodput_gbps": usual / 2 if cell.number == 0 else usual}


def test_difference__ratio_of_common_cells(tmp_path: Path) -> None:
    new = made_up(tmp_path / "new")
    old = made_up(tmp_path / "old", ACK.replace("[1, 4, 16]", "[1, 4, 32]"), special=slower)
    where = report.difference(new, old)
    assert where == tmp_path / "new" / "difference.html"
    page = pages.sound(where.read_text().replace("</td>", "</td> "))
    text = " ".join(page.text.split())
    first, same = (
        re.search(
            rf"ack every {every}, loss 0% [\d.]+ \(n = 8\) [\d.]+ \(n = 8\) ([\d.]+) \(([\d.]+) to [\d.]+\) (\w+)", text
        )
        for every in (1, 4)
    )
    assert first is not None
    assert same is not None
    assert (float(first[1]) > 1.9, float(first[2]) > 1.9, first[3]) == (True, True, "higher")
    assert (float(same[1]), same[3]) == (1.0, "no")
    assert "ack every 16" not in text
    assert "4 cells of the two plans stand in one of them only." in text
    assert "two sessions" in text


def test_difference__conditions_that_differ(tmp_path: Path) -> None:
    new = made_up(tmp_path / "new")
    machine = {"kernel": "6.1.0", "cpu": "a processor", "cpus": "2", "clang": "19.1.7"}
    old = made_up(tmp_path / "old", ACK.replace('sink = "memory"', "lanes = 2"), special=slower, machine=machine)
    text = pages.sound(report.difference(new, old, tmp_path / "d.html").read_text()).text
    assert "kernel: 6.1.0 then, 6.12.0 now" in text
    assert "towline: 0.0.9 then, 0.1.0 now" in text
    assert "lanes: 2 then, 1 now" in text
    assert "cpu:" not in text


def test_difference__nothing_in_common(tmp_path: Path) -> None:
    one = made_up(tmp_path / "one")
    other = made_up(tmp_path / "other", 'size = "1M"\n[axes]\nlanes = [1, 2]\n', name="lanes")
    assert "The two have no cell in common." in report.difference(one, other).read_text()
