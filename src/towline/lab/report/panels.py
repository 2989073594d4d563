# SPDX-License-Identifier: GPL-2.0-only
"""The panels of a plot: one for each combination of the axes that are neither x nor the lines."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from towline.lab.plans.plan import Cell, Plan, Plot
from towline.lab.report import plots
from towline.lab.report.shown import facets
from towline.lab.report.words import value_of, values_of

_COLUMNS_MOST = 2
_OPEN: Any = {"markersize": 6.5, "markerfacecolor": "white", "markeredgewidth": 1.4}


@dataclass(frozen=True, kw_only=True)
class Panel:
    """`lines`: what a line is called -> its cells; `numbers`: the same -> which colour; `share`: of the figure's width;
    `beside`: a second panel of the same cells, where the plot has one."""

    axes: Axes
    lines: Mapping[str, list[Cell]]
    numbers: Mapping[str, int]
    first_in_row: bool
    share: float
    beside: Axes | None = None


def panels(plan: Plan, plot: Plot, *, columns_for_each: int = 1) -> tuple[Figure, list[Panel]]:
    """An empty figure for a plot, and its panels."""
    others = facets(plan, plot)
    kinds = list(dict.fromkeys(values_of(plan.axes, others, cell.labels) for cell in plan.cells))
    names = list(dict.fromkeys(_line_of(plan, plot, cell) for cell in plan.cells))
    numbers = {name: number for number, name in enumerate(names)}
    columns = 1 if columns_for_each > 1 else min(len(kinds), _COLUMNS_MOST)
    rows = math.ceil(len(kinds) / columns)
    figure = plots.figure(height_inches=plots.HEIGHT_INCHES if rows == 1 else 0.4 + 3.4 * rows)
    grid = figure.subplots(rows, columns * columns_for_each, squeeze=False)
    if columns_for_each == 1:
        for other in grid.flat[1:]:
            other.sharey(grid.flat[0])
    found = []
    for number, kind in enumerate(kinds):
        row, column = divmod(number, columns)
        axes = grid[row, column * columns_for_each]
        axes.set_title(kind, fontsize=10, loc="left")
        cells = [cell for cell in plan.cells if values_of(plan.axes, others, cell.labels) == kind]
        lines = {name: [cell for cell in cells if _line_of(plan, plot, cell) == name] for name in names}
        found.append(
            Panel(
                axes=axes,
                lines={name: line for name, line in lines.items() if line},
                numbers=numbers,
                first_in_row=column == 0,
                share=1 / (columns * columns_for_each),
                beside=grid[row, 1] if columns_for_each > 1 else None,
            )
        )
    for left_over in grid.flat[len(kinds) * columns_for_each :]:
        left_over.set_visible(False)
    return figure, found


def legend(figure: Figure, drawn: list[Panel]) -> None:
    """What each line is, with the axis' name and value, beside the panels; nothing for a single line."""
    numbers = drawn[0].numbers
    if len(numbers) < 2:
        return
    marks = [
        Line2D([], [], color=plots.colour(which), marker=plots.marker(which), linewidth=1.2, label=name, **_OPEN)
        for name, which in numbers.items()
    ]
    figure.legend(handles=marks, loc="outside right upper")


def _line_of(plan: Plan, plot: Plot, cell: Cell) -> str:
    return value_of(plan.axes[plot.line], cell.labels[plot.line]) if plot.line else ""
