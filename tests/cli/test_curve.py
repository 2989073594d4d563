# SPDX-License-Identifier: GPL-2.0-only
"""A rate over time in one line: the highest reaches to the top, swaps stand before what they changed."""

from __future__ import annotations

from towline.cli.curve import LEVELS, LOOKS_MOST, SWAP, Curve


def drawn(*looks: float | None, swaps: tuple[int, ...] = (), width: int = 80) -> str:
    curve = Curve()
    for number, rate in enumerate(looks):
        curve.add(rate, swapped=number in swaps)
    return curve.drawn(width).plain


def test_curve__is_scaled_to_its_highest() -> None:
    assert drawn(0.0, 3.5, 7.0) == LEVELS[0] + LEVELS[4] + LEVELS[7]
    assert drawn(0.0, 0.0) == 2 * LEVELS[0]
    assert drawn() == ""


def test_curve__begins_with_the_second_look() -> None:
    assert drawn(None, 1.0) == LEVELS[7]


def test_curve__a_swap_stands_before_the_first_look_at_another_program() -> None:
    assert drawn(1.0, 1.0, 1.0, swaps=(1,)) == LEVELS[7] + SWAP + 2 * LEVELS[7]


def test_curve__the_last_looks_are_what_fits() -> None:
    assert drawn(7.0, 0.0, 1.0, 7.0, width=2) == LEVELS[1] + LEVELS[7]
    assert drawn(1.0, width=0) == drawn(1.0, width=-3) == ""
    assert len(drawn(*[1.0] * (LOOKS_MOST + 5), width=1000)) == LOOKS_MOST
