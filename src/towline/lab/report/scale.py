# SPDX-License-Identifier: GPL-2.0-only
"""Where the values of an axis stand in a plot: in proportion, logarithmically, or evenly side by side."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from matplotlib.axes import Axes

from towline.lab.plans.axes import Axis
from towline.lab.plans.plan import Cell

_SPAN_MOST = 20.0  # between the smallest and the largest value in proportion
_GAP_LEAST = 0.07  # of the axis, or the values' texts and points run into each other
_LABEL_CHARACTERS = 14
_ROTATED_FROM = 60  # characters of all values together
_WRITTEN_UNITS = ("share", "bit/s", "time")  # stand with each value: 1%, 200mbit


@dataclass(frozen=True, kw_only=True)
class Scale:
    """`positions`: label -> place on the axis, `gap`: between the nearest two; `joined`: a line between them has a
    meaning; `manner`: what to say of it in the axis' title, "" if it is in proportion."""

    title: str
    positions: Mapping[str, float]
    gap: float
    joined: bool
    manner: str = ""

    def dress(self, axes: Axes, share: float = 1.0) -> None:
        """Title and values of the horizontal axis of a panel that has this share of the figure's width."""
        places = list(self.positions.values())
        many = sum(map(len, self.positions)) > _ROTATED_FROM * share
        said = [label if many else textwrap.fill(label, _LABEL_CHARACTERS) for label in self.positions]
        axes.set_xticks(places, said, rotation=30 if many else 0, ha="right" if many else "center")
        axes.set_xlim(min(places) - 0.6 * self.gap, max(places) + 0.6 * self.gap)
        axes.set_xlabel(f"{self.title}{f', {self.manner}' if self.manner else ''}")


def scale(axis: Axis, cells: Sequence[Cell]) -> Scale:
    """Of the values that an axis has in these cells."""
    values = {cell.labels[axis.name]: cell.values[axis.name] for cell in cells}
    numbers = {label: value for label, value in values.items() if not isinstance(value, str)}
    if not axis.numeric or len(numbers) < len(values):
        return _even(axis.label, list(values), joined=False)
    ordered = dict(sorted(numbers.items(), key=lambda one: one[1]))
    title = _title(axis, list(ordered))
    least, most = min(ordered.values()), max(ordered.values())
    if least == most:
        return _even(title, list(ordered), joined=False)
    if least > 0 and (_geometric(list(ordered.values())) or most > _SPAN_MOST * least):
        logarithms = {label: math.log2(value) for label, value in ordered.items()}
        if _apart(logarithms) >= _GAP_LEAST:
            return _placed(title, logarithms, "logarithmic")
    if (
        least >= 0
        and all(most <= _SPAN_MOST * value for value in ordered.values() if value)
        and (_apart(ordered) >= _GAP_LEAST)
    ):
        return _placed(title, ordered, "")
    return _even(title, list(ordered), joined=True, manner="values evenly spaced")


def _title(axis: Axis, labels: Sequence[str]) -> str:
    """With the unit, unless that stands with every value."""
    return (
        axis.title
        if axis.unit == "bytes" or any(label.isdecimal() and label != "0" for label in labels)
        else axis.label
    )


def _placed(title: str, positions: Mapping[str, float], manner: str) -> Scale:
    places = list(positions.values())
    gap = min(after - before for before, after in pairwise(places))
    return Scale(title=title, positions=positions, gap=gap, joined=True, manner=manner)


def _even(title: str, labels: Sequence[str], *, joined: bool, manner: str = "") -> Scale:
    places = {label: float(place) for place, label in enumerate(labels)}
    return Scale(title=title, positions=places, gap=1.0, joined=joined, manner=manner)


def _geometric(values: Sequence[float]) -> bool:
    """Each value so many times the one before."""
    factors = [after / before for before, after in pairwise(values)]
    return len(factors) > 1 and max(factors) <= 1.05 * min(factors)


def _apart(positions: Mapping[str, float]) -> float:
    """The smallest distance of two values as a share of the whole."""
    places = list(positions.values())
    return min(after - before for before, after in pairwise(places)) / (places[-1] - places[0])
