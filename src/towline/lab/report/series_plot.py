# SPDX-License-Identifier: GPL-2.0-only
"""Plots of time series: what the sides told every 50 ms, over the seconds of a run."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from towline.lab.measures import MEASURES
from towline.lab.plans.plan import Cell, Plot
from towline.lab.report import plots
from towline.lab.report.panels import legend, panels
from towline.lab.report.shown import Shown
from towline.lab.sweep.results import run_number

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]  # seconds, what was told then

_FAINT_MOST = 8  # other runs of a cell


@dataclass(frozen=True, kw_only=True)
class _Told:
    """A column of the time series: as it stands at an axis, times what, and which side knows it best."""

    title: str
    scale: float = 1.0
    side: str = "sender"


_COLUMNS: Mapping[str, _Told] = {
    "goodput_gbps": _Told(title="goodput (Gbit/s)"),
    "rtt_us": _Told(title="round trip (us)"),
    "retransmissions": _Told(title="retransmissions so far"),
    "packets_sent": _Told(title="packets sent so far"),
    "done_bytes": _Told(title="bytes done (MiB)", scale=1 / (1 << 20)),
    "window_fill": _Told(title="window in use (%)", scale=100.0),
    "ring_fill": _Told(title="ring in use (%)", scale=100.0, side="receiver"),
}


def series(shown: Shown, plot: Plot) -> Figure:
    """`y` over time: of each cell the run of median goodput, and thinly the others."""
    told = _COLUMNS[plot.y]
    figure, drawn = panels(shown.plan, plot)
    curves, swaps = _curves(shown, plot.y, told), _swaps(shown)
    most: list[float] = []
    for panel in drawn:
        for name, cells in panel.lines.items():
            for cell in cells:
                most += _draw_cell(panel.axes, shown, cell, curves, swaps, plots.colour(panel.numbers[name]))
        panel.axes.set_xlabel("time since the sender's first sample (s)")
        panel.axes.grid(axis="x", color=plots.FAINT, linewidth=0.6)
    for panel in drawn:
        panel.axes.set_xlim(left=0)
        plots.dress_y(panel.axes, told.title if panel.first_in_row else "", [], [0.0, *most])
    legend(figure, drawn)
    said = f"the {told.side}'s samples, every 50 ms; thick: the run of median goodput of each cell, thin: others"
    said += "; triangle: a program was swapped" if any(swaps.values()) else ""
    plots.note(figure, said if curves else "no time series was kept")
    return figure


def _draw_cell(
    axes: Axes, shown: Shown, cell: Cell, curves: Mapping[int, Curve], swaps: Mapping[int, list[float]], color: str
) -> list[float]:
    """The curves of a cell; returns the largest value of each."""
    goodput = MEASURES["goodput_gbps"]
    records = sorted(shown.of(cell), key=lambda record: goodput.of(record) or 0.0)
    runs = [number for number in map(_number, records) if number in curves]
    if not runs:
        return []
    middle = runs[len(runs) // 2]
    for run in [run for run in runs if run != middle][:_FAINT_MOST]:
        axes.plot(*curves[run], color=color, linewidth=0.6, alpha=0.35, zorder=2)
    axes.plot(*curves[middle], color=color, linewidth=1.8, zorder=3)
    moments = swaps.get(middle, [])
    axes.plot(moments, np.interp(moments, *curves[middle]), "v", color=color, markersize=9, zorder=4)
    return [float(np.max(curves[run][1])) for run in runs]


def _number(record: Mapping[str, Any]) -> int:
    return run_number(record["order"], record["attempt"])


def _curves(shown: Shown, column: str, told: _Told) -> dict[int, Curve]:
    """By the run's number: of the side that knows it best, or of the other one if that never said anything."""
    table = shown.results.series
    if table is None:
        return {}
    wanted = {_number(record) for record in shown.records}
    columns = (table.column(name).to_pylist() for name in ("run", "side", "seconds", column))
    found: dict[str, dict[int, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    for run, side, seconds, value in zip(*columns, strict=True):
        if run in wanted and value is not None:
            found[side][run].append((seconds, value * told.scale))
    sides = sorted(found, key=lambda side: side != told.side)
    chosen = found[sides[0]] if sides else {}
    return {run: _curve(points) for run, points in chosen.items()}


def _swaps(shown: Shown) -> dict[int, list[float]]:
    """By the run's number: the seconds from which a side's program was another one."""
    table = shown.results.series
    if table is None:
        return {}
    columns = (table.column(name).to_pylist() for name in ("run", "side", "seconds", "program_version"))
    told: dict[tuple[int, str], list[tuple[float, int]]] = defaultdict(list)
    for run, side, seconds, version in zip(*columns, strict=True):
        if version is not None:
            told[run, side].append((seconds, version))
    found: dict[int, list[float]] = defaultdict(list)
    for (run, _), points in told.items():
        ordered = sorted(points)
        found[run] += [now for (_, old), (now, new) in itertools.pairwise(ordered) if new != old]
    return found


def _curve(points: list[tuple[float, float]]) -> Curve:
    seconds, values = np.array(sorted(points), np.float64).T
    return seconds, values
