# SPDX-License-Identifier: GPL-2.0-only
"""When samples are due."""

from __future__ import annotations

from towline.transfer.sampling import Ticks


def due_at(times: list[int]) -> list[int]:
    ticks = Ticks(50)
    return [now for now in times if ticks.due(now)]


def test_ticks__are_due_at_once_and_then_every_so_often() -> None:
    assert due_at(list(range(1000, 1160, 5))) == [1000, 1050, 1100, 1150]


def test_ticks__a_late_look_does_not_delay_the_next() -> None:
    assert due_at([1000, 1049, 1060, 1095, 1100, 1149, 1150]) == [1000, 1060, 1100, 1150]


def test_ticks__missed_ones_are_not_made_up_for() -> None:
    assert due_at([1000, 1330, 1331, 1340, 1354, 1355, 1404, 1405]) == [1000, 1330, 1355, 1405]


def test_ticks__wait_is_none_before_the_first() -> None:
    ticks = Ticks(50)
    assert ticks.wait_s() == 0.0
    ticks.due(0)
    assert ticks.wait_s() == 0.0  # long ago
    ticks.due(10**18)
    assert ticks.wait_s() > 0
