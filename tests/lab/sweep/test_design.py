# SPDX-License-Identifier: GPL-2.0-only
"""The design: orders that are random and known, seeds of blocks, and how long a sweep takes."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest

from towline.lab.plans.plan import parse
from towline.lab.sweep.design import RUN_S, Design, estimate_s, order, run_seed


def test_order__every_cell_once_and_the_same_again() -> None:
    for repetition in range(20):
        block = order(7, range(9), repetition)
        assert sorted(block) == list(range(9))
        assert block == order(7, range(9), repetition)
        assert block == order(7, range(8, -1, -1), repetition)


def test_order__differs_between_blocks_and_seeds_and_prefers_nobody() -> None:
    assert len({tuple(order(7, range(9), repetition)) for repetition in range(50)}) == 50
    assert order(7, range(9), 0) != order(8, range(9), 0)
    first = Counter(order(7, [3, 5, 8], repetition)[0] for repetition in range(3000))
    assert set(first) == {3, 5, 8}
    assert all(abs(count - 1000) < 150 for count in first.values())  # 6 standard deviations


def test_run_seed__is_of_the_block() -> None:
    seeds = [run_seed(7, repetition) for repetition in range(100)]
    assert seeds == [run_seed(7, repetition) for repetition in range(100)]
    assert len(set(seeds)) == 100
    assert all(0 <= seed < 1 << 31 for seed in seeds)
    assert run_seed(8, 0) != seeds[0]


def test_estimate_s__counts_runs_durations_and_the_path() -> None:
    def estimate(top: str, repetitions: int) -> float:
        return estimate_s(parse(f"{top}\n[axes]\nack_every = [1, 2]", "p.toml", repetitions=repetitions))

    one, eleven = estimate('duration = "2s"', 1), estimate('duration = "2s"', 11)
    assert eleven - one == pytest.approx(2 * 10 * (2 + RUN_S))
    paced = '[settings]\npace = "80mbit"\nredundancy = 2'
    one, eleven = estimate(f'size = "10M"\n{paced}', 1), estimate(f'size = "10M"\n{paced}', 11)
    assert eleven - one == pytest.approx(2 * 10 * (2 * 1.048576 + RUN_S))


def test_design__comes_back_from_its_file() -> None:
    design = Design(
        seed=1,
        repetitions=2,
        quick=True,
        emulated=False,
        started="2026-01-01T00:00:00Z",
        machine={"cpu": None},
        sizes={3: 4096},
        refused={1: "above 70 % of the emulator's ceiling"},
    )
    assert msgspec.json.decode(msgspec.json.encode(design), type=Design) == design
