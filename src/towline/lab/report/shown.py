# SPDX-License-Identifier: GPL-2.0-only
"""Which runs a report shows, and how the cells of a plan compare in them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from towline.lab.measures import MEASURES, Measure
from towline.lab.plans.plan import Cell, Plan, Plot
from towline.lab.statistics import (
    Difference,
    Interval,
    Ratio,
    median_interval,
    paired_difference,
    paired_ratio,
    verdict,
)
from towline.lab.sweep.results import Results

Record = Mapping[str, Any]

_FASTER = {"higher": "faster", "lower": "slower"}


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A cell beside the one that it is compared with, in the blocks that have both; `ratio`: None where theirs is 0."""

    cell: Cell
    other: Cell
    measure: Measure
    ratio: Ratio | None
    difference: Difference

    @property
    def word(self) -> str:
        """The verdict; `faster` and `slower` are said of goodput alone, and only where the interval excludes 1."""
        said = verdict(self.ratio or self.difference)
        return _FASTER.get(said, said) if self.measure.name == "goodput_gbps" else said


@dataclass(frozen=True)
class Shown:
    """The runs of a sweep that stand in plots and tables: those that count, and of these no short ones.

    A cell whose runs are all short has none, unless the plan says that short transfers are the question.
    """

    results: Results

    @property
    def plan(self) -> Plan:
        """What was asked."""
        return self.results.plan

    @cached_property
    def counted(self) -> list[dict[str, Any]]:
        """One record for each repetition and cell that counts."""
        return self.results.counted()

    @cached_property
    def records(self) -> list[dict[str, Any]]:
        """What is shown."""
        return [one for one in self.counted if self.plan.short_transfers or one.get("short") is None]

    @cached_property
    def _by_cell(self) -> Mapping[int, list[dict[str, Any]]]:
        found: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for record in self.records:
            found[record["cell"]].append(record)
        return found

    def of(self, cell: Cell) -> list[dict[str, Any]]:
        """The shown runs of a cell."""
        return self._by_cell.get(cell.number, [])

    def values(self, cell: Cell, measure: Measure) -> dict[int, float]:
        """Block -> what was measured there; blocks where nothing was are left out."""
        found = {record["repetition"]: measure.of(record) for record in self.of(cell)}
        return {block: value for block, value in found.items() if value is not None}

    def interval(self, cell: Cell, measure: Measure) -> Interval | None:
        """Median and interval of a cell; None without runs."""
        values = list(self.values(cell, measure).values())
        return median_interval(values) if values else None

    def comparison(self, cell: Cell, plot: Plot, measure: Measure) -> Comparison | None:
        """A cell beside its baseline, or beside the first of its line where the plan has none."""
        other = reference(self.plan, plot, cell)
        if other is None:
            return None
        ours, theirs = self.values(cell, measure), self.values(other, measure)
        difference = paired_difference(ours, theirs)
        if difference is None:
            return None
        ratio = paired_ratio(ours, theirs)
        return Comparison(cell=cell, other=other, measure=measure, ratio=ratio, difference=difference)

    def comparisons(self, plot: Plot, measure: Measure) -> list[Comparison]:
        """Of all cells that can be compared, in the plan's order."""
        found = (self.comparison(cell, plot, measure) for cell in self.plan.cells)
        return [one for one in found if one is not None]


def questions(plan: Plan) -> list[tuple[Plot, Measure]]:
    """The plots that ask for a figure of the record, each figure once."""
    found: dict[str, tuple[Plot, Measure]] = {}
    for plot in plan.plots:
        if plot.y in MEASURES and plot.kind != "series":
            found.setdefault(plot.y, (plot, MEASURES[plot.y]))
    return list(found.values())


def reference(plan: Plan, plot: Plot, cell: Cell) -> Cell | None:
    """What a cell is compared with: the plan's baseline; without one, the first cell of its line in this plot."""
    if plan.baseline:
        return plan.baseline_of(cell)
    names = [*([plot.line] if plot.line else []), *facets(plan, plot)]
    first = next(one for one in plan.cells if all(one.labels[name] == cell.labels[name] for name in names))
    return None if first is cell else first


def facets(plan: Plan, plot: Plot) -> list[str]:
    """The axes that tell cells of the same x and the same line apart; a plot has a panel for each of their values."""
    names = [name for name in (plot.x, plot.line) if name is not None]
    found: list[str] = []
    for name in plan.axes:
        if name not in names and _kinds(plan.cells, [*names, *found, name]) > _kinds(plan.cells, [*names, *found]):
            found.append(name)
    return found


def differing(cell: Cell, other: Cell) -> tuple[list[str], list[str]]:
    """The axes in which two cells differ, and those in which they do not."""
    apart = [name for name in cell.labels if cell.labels[name] != other.labels[name]]
    return apart, [name for name in cell.labels if name not in apart]


def _kinds(cells: Sequence[Cell], names: Sequence[str]) -> int:
    return len({tuple(cell.labels[name] for name in names) for cell in cells})
