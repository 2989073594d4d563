# SPDX-License-Identifier: GPL-2.0-only
"""Cells that ask too much of the emulator are refused before they are run, or after the warm-up has shown it."""

from __future__ import annotations

from typing import Any

import pytest

from towline.lab.emulator.impairments import Impairments
from towline.lab.plans.plan import Cell
from towline.lab.sweep.headroom import Headroom, frame_bytes
from towline.settings import Settings

CEILING_GBPS = 1.0


def cell(**settings: Any) -> Cell:
    return Cell(number=0, labels={}, values={}, settings=Settings(**settings), size_bytes=1)


class Ceilings:
    """Counts what is measured."""

    def __init__(self) -> None:
        self.asked: list[tuple[Impairments, int, int]] = []

    def __call__(self, impairments: Impairments, mtu: int, frame: int) -> float:
        self.asked.append((impairments, mtu, frame))
        return CEILING_GBPS


@pytest.mark.parametrize(
    ("settings", "refused"),
    [
        ({"pace": 699_000_000}, False),
        ({"pace": 701_000_000}, True),
        ({"rate": (701_000_000, None)}, True),
        ({"rate": (701_000_000, None), "pace": 699_000_000}, False),
        ({"rate": (None, 701_000_000)}, False),  # acknowledgements are few
        ({}, False),
    ],
)
def test_asked_too_much__above_70_per_cent(settings: dict[str, Any], refused: bool) -> None:
    one = cell(delay=(1000, 1000), **settings)
    why = Headroom([one], Ceilings()).asked_too_much(one)
    assert (why is not None) == refused
    if why:
        assert "above 70% of what the emulator passes here, 1.00 Gbit/s" in why


@pytest.mark.parametrize(("packets", "refused"), [(57_000, False), (60_000, True)])
def test_reached_too_much__judges_by_the_frames_of_the_warm_up(packets: int, refused: bool) -> None:
    one = cell(duplicate=(0.01, 0.0))
    assert frame_bytes(one.settings) == 1514
    record = {"packets_sent": packets, "seconds": 1.0}
    assert (Headroom([one], Ceilings()).reached_too_much(one, record) is not None) == refused


def test_reached_too_much__what_is_done_in_passing_cannot_be_late() -> None:
    one = cell(loss=(0.01, 0.0), corrupt=(0.01, 0.01))
    assert Headroom([one], Ceilings()).reached_too_much(one, {"packets_sent": 1 << 30, "seconds": 1.0}) is None


def test_reached_too_much__is_not_for_what_has_a_pace() -> None:
    one = cell(pace=1_000_000)
    assert Headroom([one], Ceilings()).reached_too_much(one, {"packets_sent": 1 << 30, "seconds": 1.0}) is None


def test_ceiling__is_measured_once_for_each_kind_of_work() -> None:
    cells = [
        cell(delay=(us, us), loss=(loss, 0.0), clang_flags_emulator=flags)
        for us in (0, 1000, 2000)
        for loss in (0.0, 0.1)
        for flags in ((), ("-O1",))
    ]
    measured = Ceilings()
    headroom = Headroom(cells, measured)
    for one in [*cells, *headroom.kinds()]:
        headroom.ceiling_gbps(one)
    assert len(measured.asked) == len(headroom.kinds()) == 2  # in passing, and what is kept for a while
    assert [one.forward.delay_us for one, *_ in measured.asked] == [0, 2000]
    assert headroom.lowest_gbps() == CEILING_GBPS
