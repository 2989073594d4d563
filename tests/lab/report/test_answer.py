# SPDX-License-Identifier: GPL-2.0-only
"""The short answer in words."""

from __future__ import annotations

import re
from pathlib import Path

from tests.lab.report import pages
from tests.lab.report.made_up import ACK, made_up
from towline.lab.report import answer, page
from towline.lab.report.shown import Shown
from towline.lab.statistics import RESAMPLES

ARMS = """# plans/null.toml: nothing?
duration = "1s"
repetitions = 8
baseline = { arm = "one" }
[axes]
arm = ["one", "other"]
[plot.packet]
x = "arm"
y = "ns_per_packet"
"""


def text_of(shown: Shown) -> str:
    return pages.read(page.page("", [], lead=answer.section(shown, answer.answers(shown)))).text


def test_sentence__with_ratio_interval_and_verdict(tmp_path: Path) -> None:
    shown = Shown(made_up(tmp_path))
    said = answer.sentence(shown.plan, answer.answers(shown)[0].comparisons[-1])
    assert re.fullmatch(
        r"ack every 16 over ack every 1 at loss 1%: (1\.9|2\.0)\d+ \(1\.9\d+ to 2\.0\d+\), faster", said
    ), said


def test_sentence__difference_of_times(tmp_path: Path) -> None:
    shown = Shown(
        made_up(tmp_path, ARMS, special=lambda cell, block: {"seconds": 1.0 + 0.2 * cell.number + block / 100})
    )
    said = answer.sentence(shown.plan, answer.answers(shown)[0].comparisons[0])
    assert re.fullmatch(
        r"other over one: 1\.1\d+ \([\d. to]+\), higher; difference in ns: \+2,000 \(2,000 to 2,000\)", said
    ), said


def test_in_a_line__many_comparisons_are_counted(tmp_path: Path) -> None:
    shown = Shown(made_up(tmp_path))
    said = answer.in_a_line(shown, answer.answers(shown))
    assert said.startswith("Goodput: of 4 comparisons 4 faster; the ratios go from 1.")
    assert "(ack every 16 over ack every 1 at loss" in said


def test_in_a_line__nothing_yet(tmp_path: Path) -> None:
    shown = Shown(made_up(tmp_path, special=lambda cell, block: {"verified": False}))
    assert answer.in_a_line(shown, answer.answers(shown)) == "No run that counts has been made yet."


def test_section__table_of_ratios(tmp_path: Path) -> None:
    text = text_of(Shown(made_up(tmp_path, ACK.replace("[1, 4, 16]", "[1, 4, 16, 64]"))))
    assert "goodput, ratio to that with ack every 1" in text
    assert "Of 12 comparisons some 1 would be called different by chance alone." in text


def test_section__no_verdict_from_few_blocks(tmp_path: Path) -> None:
    text = text_of(Shown(made_up(tmp_path, ACK.replace("repetitions = 8", "repetitions = 2"))))
    assert "Fewer than six blocks have no interval, and nothing is said of them." in text
    before_the_rules, _, _ = text.partition("A ratio is")
    assert not re.search("faster|slower|higher|lower", before_the_rules)


def test_as_json__figures(tmp_path: Path) -> None:
    found = answer.as_json(answer.answers(Shown(made_up(tmp_path)))[0].comparisons[0])
    assert found["ratio_low"] < found["ratio"] < found["ratio_high"]
    assert (found["cell"], found["blocks"], found["verdict"]) == (0, 8, "faster")
    assert RESAMPLES >= 10_000
