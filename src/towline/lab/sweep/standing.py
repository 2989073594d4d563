# SPDX-License-Identifier: GPL-2.0-only
"""Where a sweep stands, and who watches it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from towline.lab.plans.plan import Cell, Plan

Record = Mapping[str, Any]


@dataclass(kw_only=True)
class Standing:
    """Where a sweep stands. `runs`: those that it has, `finished` of them done; `before`: done by an earlier start."""

    plan: Plan
    folder: Path
    runs: int = 0
    finished: int = 0
    before: int = 0
    voids: int = 0
    failed: int = 0
    violations: int = 0
    done_s: float = 0.0  # of what this start has to do, as expected beforehand
    whole_s: float = 0.0

    def left_s(self, elapsed_s: float) -> float:
        """About how long it will still take, `elapsed_s` after this start."""
        if self.done_s <= 0:
            return self.whole_s
        return max(0.0, self.whole_s - self.done_s) * elapsed_s / self.done_s

    def count(self, one: Record) -> None:
        """One more record."""
        self.voids += bool(one["void"])
        self.failed += one["failed"] is not None
        self.violations += one["accounting"] is not None


class Onlooker(Protocol):
    """Who watches a sweep."""

    def begin(self, standing: Standing, what: str) -> None:
        """Something begins, in words."""

    def record(self, standing: Standing, record: Record) -> None:
        """A run was kept."""

    def block(self, standing: Standing, repetition: int) -> None:
        """A block is over."""


def label(cell: Cell) -> str:
    """A cell in words: `ack_every 4, loss 1%`."""
    return ", ".join(f"{axis} {value}" for axis, value in cell.labels.items())
