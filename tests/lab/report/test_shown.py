# SPDX-License-Identifier: GPL-2.0-only
"""Which runs are shown, what a cell is compared with, and what is said of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.lab.report.made_up import ACK, complete, made_up, ordinary, place, write_lines
from towline.lab.measures import MEASURES
from towline.lab.plans import plan
from towline.lab.plans.plan import Cell, Plot
from towline.lab.report.shown import Shown, facets, questions, reference
from towline.lab.sweep import results

GOODPUT = MEASURES["goodput_gbps"]
RATE = """duration = "1s"
[[cells]]
arm = "low"
rate = "50mbit"
pace = "49mbit"
[[cells]]
arm = "high"
rate = "50mbit"
pace = "60mbit"
[[cells]]
arm = "low"
rate = "100mbit"
pace = "98mbit"
[plot.goodput]
x = "rate"
line = "arm"
"""


def bad(cell: Cell, repetition: int) -> Mapping[str, Any]:
    """In the first cell a run of each kind that there is."""
    kinds: dict[int, Mapping[str, Any]] = {
        1: {"void": True, "void_reason": "the canary moved by 14 %"},
        2: {"short": "0.3 s: less than 0.5 s"},
        3: {"verified": False, "failed": "nothing was heard"},
        4: {"verified": None, "refused": "sender: the verifier refused it"},
    }
    return kinds.get(repetition, {}) if cell.number == 0 else {}


def test_records__what_counts_and_is_not_short(tmp_path: Path) -> None:
    found = made_up(tmp_path, special=bad)
    shown = Shown(found)
    first = found.plan.cells[0]
    assert sorted(shown.values(first, GOODPUT)) == [0, 5, 6, 7]
    assert len(shown.counted) == 6 * 8 - 3
    assert len(shown.records) == 6 * 8 - 4


def test_records__short_runs_stay_where_they_are_the_question(tmp_path: Path) -> None:
    shown = Shown(made_up(tmp_path, ACK.replace("[settings]", "short_transfers = true\n[settings]"), special=bad))
    assert 2 in shown.values(shown.plan.cells[0], GOODPUT)


def test_records__a_run_counts_once_with_its_last_attempt(tmp_path: Path) -> None:
    found = made_up(tmp_path, special=bad)
    cell = found.plan.cells[0]
    again = ordinary(cell, 1) | {"goodput_gbps": 9.0}
    extra = complete(again, "ack", cell, 1, place(found.plan, cell, 1)) | {"attempt": 1}
    write_lines(tmp_path / results.RECORDS, [*found.records, extra, extra])
    shown = Shown(results.read(tmp_path))
    assert shown.values(cell, GOODPUT)[1] == 9.0
    assert shown.interval(cell, GOODPUT) == Shown(results.read(tmp_path)).interval(cell, GOODPUT)
    assert len(shown.values(cell, GOODPUT)) == 5


def test_comparisons__against_the_baseline_of_the_same_loss(tmp_path: Path) -> None:
    shown = Shown(made_up(tmp_path))
    found = shown.comparisons(shown.plan.plots[0], GOODPUT)
    assert [(one.cell.labels["ack_every"], one.cell.labels["loss"], one.other.labels) for one in found] == [
        (every, loss, {"ack_every": "1", "loss": loss}) for every in ("4", "16") for loss in ("0%", "1%")
    ]
    assert [one.ratio.ratio for one in found if one.ratio] == pytest.approx([1.5, 1.5, 2.0, 2.0], rel=0.02)
    assert {one.word for one in found} == {"faster"}


def test_comparison__null_where_nothing_was_measured(tmp_path: Path) -> None:
    shown = Shown(made_up(tmp_path, special=lambda cell, _: {"goodput_gbps": None} if cell.number == 0 else {}))
    assert shown.interval(shown.plan.cells[0], GOODPUT) is None
    assert len(shown.comparisons(shown.plan.plots[0], GOODPUT)) == 2  # only those of the other loss


@pytest.mark.parametrize(
    ("name", "ours", "word"),
    [
        ("goodput_gbps", 1.2, "faster"),
        ("goodput_gbps", 0.8, "slower"),
        ("goodput_gbps", 1.0, "no difference found"),
        ("cpu_seconds_per_gib", 1.2, "higher"),
        ("rtt_us_p50", 0.8, "lower"),
    ],
)
def test_word__faster_is_said_of_goodput_only(tmp_path: Path, name: str, ours: float, word: str) -> None:
    def special(cell: Cell, repetition: int) -> Mapping[str, Any]:
        return {
            name: (ours if cell.labels["ack_every"] == "4" else 1.0)
            * (1 + 0.01 * ((repetition * 7 + cell.number * 3) % 5))
        }

    shown = Shown(made_up(tmp_path, special=special))
    found = shown.comparison(shown.plan.cells[2], shown.plan.plots[0], MEASURES[name])
    assert found is not None
    assert found.word == word


def test_word__few_blocks_say_nothing(tmp_path: Path) -> None:
    shown = Shown(made_up(tmp_path, ACK.replace("repetitions = 8", "repetitions = 5")))
    found = shown.comparisons(shown.plan.plots[0], GOODPUT)
    assert {one.word for one in found} == {"too few blocks"}


def test_comparison__difference_where_the_other_is_zero(tmp_path: Path) -> None:
    shown = Shown(made_up(tmp_path, special=lambda cell, _: {"ring_full": cell.number * 10}))
    found = shown.comparison(shown.plan.cells[2], shown.plan.plots[0], MEASURES["ring_full"])
    assert found is not None
    assert found.ratio is None
    assert (found.difference.difference, found.word) == (20, "higher")


def test_reference__without_a_baseline_the_first_of_the_line() -> None:
    found = plan.parse(RATE, "plans/rate.toml")
    low, high, faster = found.cells
    assert reference(found, found.plots[0], faster) is low
    assert reference(found, found.plots[0], low) is None
    assert reference(found, found.plots[0], high) is None


def test_facets__axes_that_are_neither_x_nor_line() -> None:
    found = plan.parse('duration = "1s"\n[axes]\nlanes = [1, 2]\nack_every = [1, 2]\nlevel = ["raw", "udp6"]', "x.toml")
    assert facets(found, Plot(name="a", y="goodput_gbps", x="lanes", line="level")) == ["ack_every"]
    assert facets(found, Plot(name="a", y="goodput_gbps", x="lanes")) == ["ack_every", "level"]
    # The pace follows from rate and arm.
    listed = plan.parse(RATE, "plans/rate.toml")
    assert facets(listed, listed.plots[0]) == []


def test_questions__each_figure_once_and_no_time_series() -> None:
    assert [measure.name for _, measure in questions(plan.parse(ACK, "plans/ack.toml"))] == [
        "goodput_gbps",
        "rtt_us_p50",
    ]
