# SPDX-License-Identifier: GPL-2.0-only
"""Plots of cells: a figure of the record over an axis, or the distribution of its runs."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from towline.lab.measures import MEASURES, Measure
from towline.lab.plans.plan import Cell, Plot
from towline.lab.report import plots
from towline.lab.report.panels import Panel, legend, panels
from towline.lab.report.scale import Scale, scale
from towline.lab.report.shown import Shown
from towline.lab.report.words import value_of

_SIDE_BY_SIDE = 0.62  # of the gap between two values: the room for their lines' points
_CURVES_MOST = 8  # in one panel
_DASHES = ("-", "--", ":", "-.")


def line(shown: Shown, plot: Plot) -> Figure:
    """`y` over `x`, a line for each value of the axis `line`, a panel for each combination of the others."""
    assert plot.x is not None
    measure = MEASURES[plot.y]
    figure, drawn = panels(shown.plan, plot)
    over = scale(shown.plan.axes[plot.x], shown.plan.cells)
    medians = [found for panel in drawn for found in _draw_cells(panel, shown, plot, measure, over)]
    values = [value for cell in shown.plan.cells for value in shown.values(cell, measure).values()]
    for panel in drawn:
        over.dress(panel.axes, panel.share)
        plots.dress_y(panel.axes, measure.title if panel.first_in_row else "", medians, values)
    legend(figure, drawn)
    plots.note(figure, plots.marks_of([len(shown.values(cell, measure)) for cell in shown.plan.cells]))
    return figure


def distribution(shown: Shown, plot: Plot) -> Figure:
    """All runs of each cell: as points with their median, and how many of them lie below each value."""
    assert plot.x is not None
    plan, measure = shown.plan, MEASURES[plot.y]
    figure, drawn = panels(plan, plot, columns_for_each=2)
    over = scale(plan.axes[plot.x], plan.cells)
    for panel in drawn:
        _draw_cells(panel, shown, plot, measure, over, joined=False)
        over.dress(panel.axes, panel.share)
        plots.y_numbers(panel.axes, measure.title)
        _curves(panel, shown, plot, measure)
    plots.note(figure, plots.marks_of([len(shown.values(cell, measure)) for cell in plan.cells]))
    return figure


def _draw_cells(
    panel: Panel, shown: Shown, plot: Plot, measure: Measure, over: Scale, *, joined: bool = True
) -> list[float]:
    """The points of a panel; returns the medians."""
    medians: list[float] = []
    room = over.gap * _SIDE_BY_SIDE / max(len(panel.lines), 1)
    for name, cells in panel.lines.items():
        which = panel.numbers[name]
        shift = (list(panel.lines).index(name) - (len(panel.lines) - 1) / 2) * room
        found: list[tuple[float, float]] = []
        for cell in cells:
            x = over.positions[cell.labels[plot.x or ""]] + shift
            values = list(shown.values(cell, measure).values())
            color = plots.colour(which if joined else _look(panel, shown, plot, cell)[0])
            shape = plots.marker(which)
            drawn = plots.cell_points(panel.axes, x, values, color, width=0.8 * room, shape=shape, seed=cell.number)
            if drawn is not None:
                found.append((x, drawn.median))
        if found and joined and over.joined:
            found.sort()
            panel.axes.plot(*zip(*found, strict=True), color=plots.colour(which), linewidth=1.2, alpha=0.8, zorder=3)
        medians += [median for _, median in found]
    return medians


def _look(panel: Panel, shown: Shown, plot: Plot, cell: Cell) -> tuple[int, int]:
    """Colour and dashes of a cell's distribution: a colour for each line, or for each x where there is one line."""
    labels = list(dict.fromkeys(one.labels[plot.x or ""] for one in shown.plan.cells))
    place = labels.index(cell.labels[plot.x or ""])
    if len(panel.numbers) < 2:
        return place, 0
    line = next(name for name, cells in panel.lines.items() if cell in cells)
    return panel.numbers[line], place


def _curves(panel: Panel, shown: Shown, plot: Plot, measure: Measure) -> None:
    """The empirical distribution of each cell: a step for each run."""
    axes = panel.beside
    assert axes is not None
    named = [(name, cell) for name, line in panel.lines.items() for cell in line if shown.values(cell, measure)]
    axis = shown.plan.axes[plot.x or ""]
    for name, cell in named[:_CURVES_MOST]:
        values = np.sort(list(shown.values(cell, measure).values()))
        heights = np.arange(1, len(values) + 1) / len(values) * 100
        color, dashes = _look(panel, shown, plot, cell)
        axes.step(
            np.concatenate([values[:1], values]),
            np.concatenate([[0.0], heights]),
            where="post",
            color=plots.colour(color),
            linestyle=_DASHES[dashes % len(_DASHES)],
            linewidth=1.6,
            label=", ".join(one for one in (value_of(axis, cell.labels[axis.name]), name) if one),
        )
    axes.set_xlabel(measure.title)
    axes.set_ylabel("runs at or below (%)")
    axes.set_ylim(0, 102)
    axes.grid(color=plots.FAINT, linewidth=0.6)
    left_out = len(named) - _CURVES_MOST
    if named:
        more = f"and {left_out} more cells" if left_out > 0 else None
        axes.legend(fontsize=9, loc="upper left", bbox_to_anchor=(1, 1), title=more)
