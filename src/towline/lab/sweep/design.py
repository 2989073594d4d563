# SPDX-License-Identifier: GPL-2.0-only
"""The design of an experiment: what was decided for a sweep, the order of its runs, and how long it will take."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from towline.lab.plans.plan import Cell, Plan
from towline.settings import Settings

RUN_S = 1.3  # what a run takes besides its transfer: namespaces, two processes, canaries
CEILING_S = 5.0  # for the emulator's ceiling to be found
WARM_UPS = 3  # short runs until a cell's size is known
WARM_UP_SHARE = 0.5  # of a run's duration, all of them together
GUESSED_BPS = 5e9  # unimpaired and not paced: for an estimate only


class Design(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for a sweep, kept as design.json in its folder, so that a resumed one goes on with the same.

    `plan`: as it was called; `programs`: digest of the BPF programs' sources, "" where it is not known; `seed`: of
    the order and of all chances; `ceiling_gbps`: frame bits that the emulator passes, where there is one, of the
    cells that it passes least of; `ceilings`: cell number -> the same of each; `sizes`: cell number -> bytes of its
    file; `refused`: cell number -> why it is not run.
    """

    seed: int
    repetitions: int
    quick: bool
    emulated: bool
    started: str
    machine: dict[str, str | None]
    plan: str = "plan.toml"
    programs: str = ""
    ceiling_gbps: float | None = None
    ceilings: dict[int, float] = {}
    sizes: dict[int, int] = {}
    refused: dict[int, str] = {}


def order(seed: int, cells: Sequence[int], repetition: int) -> list[int]:
    """The cells of a block in an order of its own, which follows from seed and repetition alone."""
    shuffled = np.random.default_rng([seed, repetition]).permutation(np.sort(np.asarray(cells, np.int64)))
    return [int(cell) for cell in shuffled]


def run_seed(seed: int, repetition: int) -> int:
    """The seed of a block's runs, from 0 to 2^31 - 1: one for all its cells, so that they meet the same chances."""
    state = np.random.SeedSequence([seed, repetition]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(33))


def estimate_s(plan: Plan) -> float:
    """About how long a sweep of a plan takes in seconds, with warm-up runs and the emulator's ceiling."""
    ceiling_s = CEILING_S if plan.emulated else 0.0
    return ceiling_s + sum(warm_up_s(plan, cell) + plan.repetitions * run_s(plan, cell) for cell in plan.cells)


def run_s(plan: Plan, cell: Cell) -> float:
    """About how long a run of a cell takes, with everything around it."""
    return RUN_S + _transfer_s(plan, cell)


def warm_up_s(plan: Plan, cell: Cell) -> float:
    """About how long a cell's warm-up takes."""
    if cell.size_bytes is None:
        return WARM_UPS * RUN_S + WARM_UP_SHARE * _transfer_s(plan, cell)
    return run_s(plan, cell)


def _transfer_s(plan: Plan, cell: Cell) -> float:
    if cell.size_bytes is None:
        assert plan.duration_us is not None  # a plan has one or the other
        return plan.duration_us / 1e6
    return cell.size_bytes * 8 * cell.settings.redundancy / _rate_bps(cell.settings)


def _rate_bps(settings: Settings) -> float:
    """No faster than this, whatever the machine."""
    return min(one for one in (GUESSED_BPS, settings.pace, settings.rate[0]) if one is not None)
