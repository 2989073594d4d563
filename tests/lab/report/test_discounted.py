# SPDX-License-Identifier: GPL-2.0-only
"""What does not count, and that the page says why."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.lab.report import pages
from tests.lab.report.made_up import made_up
from towline.lab.plans.plan import Cell
from towline.lab.report import discounted, page
from towline.lab.report.shown import Shown


def special(cell: Cell, repetition: int) -> Mapping[str, Any]:
    kinds: dict[tuple[int, int], Mapping[str, Any]] = {
        (0, 1): {"void": True, "void_reason": "the canary moved by 14 %"},
        (0, 2): {"void": True, "void_reason": "the canary moved by 11.5 %"},
        (1, 3): {"verified": False, "failed": "sender: nothing was heard <for 30 s>"},
        (2, 0): {"verified": None, "refused": "receiver: the verifier refused it"},
        (3, 0): {"short": "0.3 s: less than 0.5 s"},
        (4, 5): {"accounting": "packets sent 5 is not 4 + 0 + 0"},
    }
    return kinds.get((cell.number, repetition), {})


def page_of(shown: Shown) -> pages.Page:
    return pages.sound(page.page("", [], lead=discounted.section(shown).replace("</td>", "</td> ")))


def test_section__reasons_are_counted(tmp_path: Path) -> None:
    shown = Shown(made_up(tmp_path, special=special, refused={5: "its rate is above 70 % of the ceiling"}))
    text = " ".join(page_of(shown).text.split())
    assert "40 attempts for 40 runs: 36 count, 35 of these are shown; 2 attempts were void" in text
    # Two void runs whose reasons differ in a number only are one line.
    assert "void 2 ack every 1, loss 0% (2) such as: the canary moved by 14 %" in text
    for reason in (
        "sender: nothing was heard <for 30 s>",
        "receiver: the verifier refused it",
        "0.3 s: less than 0.5 s",
        "its rate is above 70 % of the ceiling",
    ):
        assert reason in text
    assert (
        "The counters of 1 run do not add up: block 6, ack every 16, loss 0%: packets sent 5 is not 4 + 0 + 0" in text
    )


def test_section__violations_are_red(tmp_path: Path) -> None:
    assert '<ul class="red">' in discounted.section(Shown(made_up(tmp_path, special=special)))


def test_section__nothing_wrong(tmp_path: Path) -> None:
    text = page_of(Shown(made_up(tmp_path))).text
    assert "48 attempts for 48 runs: 48 count, 48 of these are shown; 0 attempts were void" in text
    assert "The counters of every run add up." in text
    assert "why" not in text


def test_unfinished__says_how_much_is_missing(tmp_path: Path) -> None:
    assert discounted.unfinished(Shown(made_up(tmp_path))) == ""
    # Two runs were void, and are to be repeated.
    assert "46 of 48 runs" in discounted.unfinished(Shown(made_up(tmp_path, special=special)))


def test_marks__of_each_cell(tmp_path: Path) -> None:
    shown = Shown(made_up(tmp_path, special=special, refused={5: "too fast"}))
    assert [discounted.marks(shown, cell) for cell in shown.plan.cells] == [
        ["2 void"],
        ["1 failed"],
        ["1 refused"],
        ["1 short, left out"],
        ["1 not adding up"],
        ["not run: refused"],
    ]
