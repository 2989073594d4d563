# SPDX-License-Identifier: GPL-2.0-only
"""The tables of a sweep's page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.lab.report import pages
from tests.lab.report.made_up import made_up
from towline.lab.plans.plan import Cell
from towline.lab.report import cell_tables, page
from towline.lab.report.shown import Shown, questions

FLAGS = """# plans/flags.toml: do flags matter?
duration = "1s"
repetitions = 6
[axes]
clang_flags_receiver = ["-O2", "-O1"]
"""


def text_of(body: str) -> str:
    return " ".join(
        pages.sound(page.page("", [], lead=body.replace("</td>", "</td> ").replace("</th>", "</th> "))).text.split()
    )


def test_of_plot__median_interval_and_ratio(tmp_path: Path) -> None:
    shown = Shown(
        made_up(tmp_path, special=lambda cell, block: {"goodput_gbps": (1.0 + cell.number) * (1 + block / 50)})
    )
    text = text_of(cell_tables.of_plot(shown, *questions(shown.plan)[0]))
    assert text.startswith("ack every loss runs median (Gbit/s) 95 % interval ratio difference (Gbit/s) verdict")
    assert "4 0% 8 3.21 3.00 to 3.42 3 (3 to 3) 2.14 (2.00 to 2.28) faster" in text
    assert "1 0% 8 1.07 1.00 to 1.14 - - 1 1%" in text


def test_cell_by_cell__marks_and_loss(tmp_path: Path) -> None:
    shown = Shown(made_up(tmp_path, special=lambda cell, _: {"short": "too short"} if cell.number == 3 else {}))
    body = cell_tables.cell_by_cell(shown)
    text = text_of(body)
    assert "loss →" in text
    assert "loss ←" not in text  # nothing was measured there
    assert "1.02%" in text
    assert "8 short, left out" in text
    assert body.count('class="number grey"') == 8  # the row of the cell whose runs are all short


def test_impairments__asked_and_measured(tmp_path: Path) -> None:
    text = text_of(cell_tables.impairments(Shown(made_up(tmp_path))))
    assert "1 1% loss → 1% 1.02% 1.02% 1.02%" in text
    assert "1 1% loss ← 1% 1.02%" not in text


def test_impairments__none_without_any(tmp_path: Path) -> None:
    assert cell_tables.impairments(Shown(made_up(tmp_path, FLAGS, name="flags"))) == ""


def test_programs__figures_and_why_not(tmp_path: Path) -> None:
    def special(cell: Cell, repetition: int) -> Mapping[str, Any]:
        known = {"instructions_receiver": 900 + cell.number, "jited_bytes_receiver": 5400}
        return known | {"datapath_sender": "socket"}

    shown = Shown(made_up(tmp_path, FLAGS, name="flags", special=special))
    text = text_of(cell_tables.programs(shown))
    assert "-O1 receiver 901 null 5,400 null null: not measured" in text
    assert "-O2 sender null null null null null: the socket datapath has no such program" in text
    assert "emulator" not in text


def test_programs__only_where_flags_are_the_question(tmp_path: Path) -> None:
    assert cell_tables.programs(Shown(made_up(tmp_path))) == ""
