# SPDX-License-Identifier: GPL-2.0-only
"""The tables of a sweep: the runs that there will be, and what each cell has shown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from towline.cli.sweep_screen import human
from towline.lab.measures import MEASURES, Measure
from towline.lab.plans.plan import Axis, Cell, Plan
from towline.lab.statistics import median_interval
from towline.lab.sweep import design
from towline.lab.sweep.results import Results
from towline.quantities import format_duration, format_size


def beforehand(plan: Plan, folder: Path) -> tuple[str, str]:
    """What a sweep of a plan is, in two lines."""
    runs = len(plan.cells) * plan.repetitions
    crossing = ", all across the emulator" if plan.emulated else ""
    return (
        f"{plan.path}: {plan.question}",
        f"{len(plan.cells)} cells x {plan.repetitions} blocks in random order = {runs} "
        f"runs{crossing}; about {human(design.estimate_s(plan))}; into {folder}",
    )


def dry_run_table(plan: Plan) -> Table:
    """All cells of a plan, with what each run sends, and how long it will take."""
    table = Table()
    table.add_column("cell", justify="right")
    for axis in plan.axes.values():
        table.add_column(_heading(plan, axis), justify="right")
    for name in ("each run", "runs", "time"):
        table.add_column(name, justify="right")
    for cell in plan.cells:
        time_s = plan.repetitions * design.run_s(plan, cell) + design.warm_up_s(plan, cell)
        values = (Text(cell.labels[axis]) for axis in plan.axes)
        table.add_row(str(cell.number), *values, _extent(plan, cell), str(plan.repetitions), human(time_s))
    return table


def cell_lines(plan: Plan, folder: Path) -> Iterator[dict[str, Any]]:
    """The same as a line of JSON for each cell."""
    for cell in plan.cells:
        yield {
            "plan": plan.name,
            "cell": cell.number,
            "axes": dict(cell.labels),
            "size_bytes": cell.size_bytes,
            "duration_us": None if cell.size_bytes is not None else plan.duration_us,
            "repetitions": plan.repetitions,
            "emulated": plan.emulated,
            "seconds": plan.repetitions * design.run_s(plan, cell) + design.warm_up_s(plan, cell),
            "output": str(folder),
        }


def results_table(results: Results) -> Table:
    """What the plan's first plot is about, cell by cell: median and 95 % interval of the runs that count."""
    plan = results.plan
    measure = MEASURES.get(plan.plots[0].y, MEASURES["goodput_gbps"])
    table = Table()
    for axis in plan.axes.values():
        table.add_column(_heading(plan, axis), justify="right")
    table.add_column("runs", justify="right")
    table.add_column(f"{measure.title}, median", justify="right")
    table.add_column("95 % interval", justify="right")
    counted = results.counted()
    for cell in plan.cells:
        values = (Text(cell.labels[axis]) for axis in plan.axes)
        table.add_row(*values, *_figures(measure, [one for one in counted if one["cell"] == cell.number]))
    return table


def _figures(measure: Measure, records: list[dict[str, Any]]) -> tuple[str, str, str]:
    found = [value for one in records if (value := measure.of(one)) is not None]
    if not found:
        return str(len(records)), "-", "-"
    interval = median_interval(found)
    between = "-" if interval.low is None else f"{interval.low:,.4g} to {interval.high:,.4g}"
    return str(len(records)), f"{interval.median:,.4g}", between


def _heading(plan: Plan, axis: Axis) -> str:
    """With the unit, where the values themselves have none."""
    bare = all(cell.labels[axis.name].isdigit() for cell in plan.cells)
    return axis.title if bare else axis.label


def _extent(plan: Plan, cell: Cell) -> str:
    if cell.size_bytes is not None:
        return format_size(cell.size_bytes)
    return f"as much as takes {format_duration(plan.duration_us or 0)}"
