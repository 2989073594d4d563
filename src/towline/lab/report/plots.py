# SPDX-License-Identifier: GPL-2.0-only
"""What every plot is made of: a figure in one style, the points of a cell with median and interval, and SVG of it."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from towline.lab.report.page import text
from towline.lab.report.words import number
from towline.lab.statistics import Interval, median_interval

# Okabe and Ito's colours, which colour-blind people tell apart, without the yellow that white paper swallows.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8c6d31", "#7a7a7a")
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "<", ">")
INK, FAINT = "#1a1a1a", "#d9d9d9"
WIDTH_INCHES, HEIGHT_INCHES = 9.4, 4.6  # 900 pixels on a screen
_LABEL_CHARACTERS = 44  # of an axis' title in a line
_LOGARITHMIC_FROM = 50.0  # times the smallest median that the largest one is

_STYLE: Any = {
    # Letters as outlines: the same everywhere, whatever fonts the reader's machine has.
    "svg.fonttype": "path",
    "svg.hashsalt": "towline",  # ids that follow from what is drawn: same data, same file
    "font.family": "DejaVu Sans",
    "font.size": 10.0,
    "text.parse_math": False,  # a $ in a plan is a $
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelsize": 10.5,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "figure.facecolor": "white",
}


def figure(width_inches: float = WIDTH_INCHES, height_inches: float = HEIGHT_INCHES) -> Figure:
    """An empty figure in our style; the style stays for what is put into it."""
    mpl.rcParams.update(_STYLE)
    return Figure(figsize=(width_inches, height_inches), layout="constrained")


def colour(which: int) -> str:
    """Of a line."""
    return COLOURS[which % len(COLOURS)]


def marker(which: int) -> str:
    """Of a line: another one where the colours begin again, so that print without colours can be read, too."""
    return MARKERS[(which + which // len(COLOURS)) % len(MARKERS)]


def cell_points(
    axes: Axes,
    x: float,
    values: Sequence[float],
    color: str,
    *,
    width: float = 0.3,
    shape: str = "o",
    label: str | None = None,
    seed: int = 0,
) -> Interval | None:
    """Draw a cell at x: its points, spread over `width`, their median, and its 95 % interval if there are enough.

    Returns what was drawn; None, and nothing drawn, without values.
    """
    if not len(values):
        return None
    found = median_interval(values)
    spread = np.random.default_rng([seed, len(values)]).uniform(-width / 2, width / 2, len(values))
    axes.plot(x + spread, values, shape, color=color, markersize=3.2, alpha=0.4, markeredgewidth=0, zorder=2)
    if found.low is not None and found.high is not None:
        # Above the median's mark, or it would hide an interval that is narrow.
        axes.vlines(x, found.low, found.high, color=color, linewidth=1.6, zorder=6)
        for end in (found.low, found.high):
            axes.hlines(end, x - width / 3, x + width / 3, color=color, linewidth=1.6, zorder=6)
    axes.plot(
        [x],
        [found.median],
        shape,
        color=color,
        markersize=6.5,
        markerfacecolor="white",
        markeredgewidth=1.4,
        zorder=5,
        label=label,
        linestyle="none",
    )
    return found


def dress_y(axes: Axes, title: str, medians: Sequence[float], values: Sequence[float]) -> None:
    """The vertical axis of what has these medians and, all in all, these values: from 0, with numbers as people write
    them; logarithmic where the medians are far apart."""
    if medians and min(medians) > 0 and max(medians) > _LOGARITHMIC_FROM * min(medians):
        axes.set_yscale("log")
        title += f"{', ' if title else ''}logarithmic"
    elif all(value >= 0 for value in values):
        axes.set_ylim(0, 1.06 * max(values, default=0) or 1)
    y_numbers(axes, title)


def y_numbers(axes: Axes, title: str) -> None:
    """Title, numbers and grid of a vertical axis, whatever its range."""
    axes.set_ylabel(textwrap.fill(title, _LABEL_CHARACTERS))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    axes.grid(axis="y", color=FAINT, linewidth=0.6)


def note(of: Figure, said: str) -> None:
    """Small print below a figure: what the marks mean."""
    of.supxlabel(said, fontsize=8.5, color="#555555")


def marks_of(numbers_of_runs: Sequence[int]) -> str:
    """What the marks of `cell_points` mean, for cells of so many runs."""
    runs = sorted(set(numbers_of_runs) - {0})
    if not runs:
        return "no runs"
    said = number(runs[0]) if runs[0] == runs[-1] else f"{number(runs[0])} to {number(runs[-1])}"
    bars = ", bars: 95 % interval of the median" if runs[-1] >= 6 else ""
    return f"points: runs (n = {said}), open marks: medians{bars}"


def svg(of: Figure, description: str = "") -> str:
    """A figure as an SVG element, which is a file, too; `description` is for those who do not see it."""
    out = io.StringIO()
    of.savefig(out, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    _, _, drawn = out.getvalue().partition("<svg ")
    label = f' role="img" aria-label="{text(description)}"' if description else ""
    return f"<svg{label} " + re.sub(r"[ \t]+$", "", drawn, flags=re.MULTILINE)
