# SPDX-License-Identifier: GPL-2.0-only
"""The plans that come with towline: each asks a question, and could be carried out."""

from __future__ import annotations

from pathlib import Path

import pytest

from towline.lab.plans.plan import read
from towline.lab.sweep.design import estimate_s

FOLDER = Path(__file__).parents[2] / "plans"
PLANS = sorted(FOLDER.glob("*.toml"))
EMULATOR_CARRIES_BPS = 600e6  # with room to spare, of what it has to keep for a while
MISSION = {
    *("payload", "ack", "ring", "asynchrony", "size", "level", "checksum", "redundancy", "delay", "jitter", "rate"),
    *("loss", "burst", "corruption", "duplication", "reordering", "delivery", "xdp_mode", "datapath", "lanes"),
    *("flags_sender", "flags_receiver", "flags_emulator", "window", "null", "known", "policies"),
}


def test_plans__there_is_one_for_each_question_of_the_mission() -> None:
    assert {path.stem for path in PLANS} == MISSION


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_plans__ask_a_question_and_can_be_carried_out(path: Path) -> None:
    plan, quick = read(path), read(path, quick=True)
    assert path.read_text().startswith(f"# plans/{path.name}: ")
    assert plan.question.endswith("?")
    assert not plan.question.startswith(("#", "plans/"))
    assert len(plan.cells) > 1
    assert plan.repetitions >= 6  # or there would be no intervals
    assert {str(cell.labels) for cell in quick.cells} <= {str(cell.labels) for cell in plan.cells}
    for cell in quick.cells:
        assert quick.baseline == {} or quick.baseline_of(cell) or plan.baseline.items() <= cell.labels.items()
    assert estimate_s(quick) < 120
    assert plan.name == "ack" or estimate_s(plan) < 300


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_plans__what_the_emulator_keeps_for_a_while_is_paced(path: Path) -> None:
    for cell in read(path).cells:
        one = cell.settings
        if any((*one.delay, *one.jitter, *one.duplicate, *one.reorder)) or one.rate != (None, None):
            assert one.pace is not None
            assert one.pace <= EMULATOR_CARRIES_BPS


def test_plans__null_compares_what_is_the_same_and_known_what_is_not() -> None:
    null, known = read(FOLDER / "null.toml"), read(FOLDER / "known.toml")
    assert len({cell.settings for cell in null.cells}) == 1
    assert len({cell.settings for cell in known.cells}) == 2
    assert min(null.repetitions, known.repetitions) >= 20
