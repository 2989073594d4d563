# SPDX-License-Identifier: GPL-2.0-only
"""The conditions of a sweep, and the command that makes it again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.lab.report import pages
from tests.lab.report.made_up import ACK, made_up, ordinary
from towline.lab.plans.plan import Cell
from towline.lab.report import conditions, page
from towline.lab.report.shown import Shown


def test_section__machine_design_and_what_held(tmp_path: Path) -> None:
    text = pages.sound(page.page("", [], lead=conditions.section(Shown(made_up(tmp_path))))).text
    for said in (
        "a processor, 2 processors",
        "6.12.0",
        "19.1.7",
        "0.1.0",
        "2026-01-02T03:04:05+00:00",
        "all cells cross it, also those that it does nothing to; it passes 7.500 Gbit/s of frames here",
        "6 cells x 8 blocks",
        "(seed 7)",
        "warm-up runs are discarded",
        "0.02 in the median, at most 0.02 processors",
        "1 in the median, at most 1 % change",
        "memory",  # a setting that holds for all
        "does acknowledging less often help",  # the plan itself
    ):
        assert said in text


@pytest.mark.parametrize(
    ("ceilings", "said"),
    [
        ({0: 7.5, 1: 7.5}, "it passes 7.500 Gbit/s of frames here; in passing, where it cannot be late, runs"),
        ({0: 20.0, 1: 7.5}, "it passes 7.500 to 20 Gbit/s of frames here; in passing"),
    ],
)
def test_emulator__what_share_of_its_ceiling_was_reached(ceilings: dict[int, float], said: str, tmp_path: Path) -> None:
    found = conditions._emulator(Shown(made_up(tmp_path, ceilings=ceilings)))
    assert said in found
    assert "where it keeps them" not in found  # the plan's impairment is loss


def test_emulator__cells_that_it_keeps_frames_of_have_a_share_of_their_own(tmp_path: Path) -> None:
    text = ACK.replace('loss = ["0%", "1%"]', 'delay = ["0ms", "10ms"]').replace('line = "loss"', 'line = "delay"')
    found = conditions._emulator(Shown(made_up(tmp_path, text, base=ten_gbps, ceilings={0: 20.0, 1: 12.5})))
    assert "where it keeps them, runs reached up to 80% of that" in found
    assert "in passing, where it cannot be late, runs reached up to 50% of that" in found


def ten_gbps(cell: Cell, repetition: int) -> dict[str, Any]:
    """Of frames of 1514 bytes."""
    return ordinary(cell, repetition) | {"seconds": 1.0, "packets_sent": 10e9 / 8 / 1514}


def test_held__leaves_out_what_differs(tmp_path: Path) -> None:
    found = conditions.held(made_up(tmp_path).records)
    assert found["sink"] == "memory"
    assert found["MTU"] == "1,500 bytes"
    assert "ack every" not in found  # an axis
    assert "pace" not in found  # none


@pytest.mark.parametrize(
    ("of_design", "command"),
    [
        ({}, "towline lab sweep plans/ack.toml"),
        ({"repetitions": 3}, "towline lab sweep plans/ack.toml --repetitions=3"),
        ({"quick": True, "repetitions": 2}, "towline lab sweep plans/ack.toml --quick"),
        ({"plan": "my plans/a.toml"}, "towline lab sweep 'my plans/a.toml'"),
    ],
)
def test_command__makes_it_again(tmp_path: Path, of_design: dict[str, Any], command: str) -> None:
    assert conditions.command(made_up(tmp_path, ACK, **of_design)) == command
