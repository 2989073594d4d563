# SPDX-License-Identifier: GPL-2.0-only
"""What every plot is made of."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest
from matplotlib.lines import Line2D

from towline.lab.report import plots


def up(line: Line2D) -> list[float]:
    """The vertical coordinates of what was drawn."""
    return np.asarray(line.get_xydata())[:, 1].tolist()  # type: ignore[no-any-return]


def test_cell_points__median_and_interval_from_six_on() -> None:
    axes = plots.figure().subplots()
    found = plots.cell_points(axes, 2.0, [3, 1, 2, 5, 4, 6], "#000000")
    assert found is not None
    assert (found.median, found.low, found.high) == (3.5, 1, 6)
    points, median = axes.lines
    assert sorted(up(points)) == [1, 2, 3, 4, 5, 6]
    assert up(median) == [3.5]
    assert len(axes.collections) == 3  # the interval and its two ends


def test_cell_points__few_have_no_interval() -> None:
    axes = plots.figure().subplots()
    plots.cell_points(axes, 0.0, [1, 2, 3, 4, 5], "#000000")
    assert len(axes.lines) == 2
    assert not axes.collections


def test_cell_points__none() -> None:
    axes = plots.figure().subplots()
    assert plots.cell_points(axes, 0.0, [], "#000000") is None
    assert not axes.lines


def test_cell_points__points_stay_beside_their_x() -> None:
    axes = plots.figure().subplots()
    plots.cell_points(axes, 2.0, [1.0] * 50, "#000000", width=0.4)
    across = np.asarray(axes.lines[0].get_xydata())[:, 0]
    assert 1.8 <= min(across) < max(across) <= 2.2


@pytest.mark.parametrize(
    ("medians", "values", "scale", "bottom"),
    [
        ([2.0, 3.0], [2.0, 3.0], "linear", 0),
        ([0.1, 30.0], [0.1, 30.0], "log", None),
        ([0.0, 30.0], [30.0], "linear", 0),
    ],
)
def test_dress_y__from_zero_unless_far_apart(
    medians: list[float], values: list[float], scale: str, bottom: float | None
) -> None:
    axes = plots.figure().subplots()
    axes.plot(values)
    plots.dress_y(axes, "goodput (Gbit/s)", medians, values)
    assert axes.get_yscale() == scale
    assert bottom is None or axes.get_ylim() == pytest.approx((bottom, 1.06 * max(values)))
    assert axes.get_ylabel().startswith("goodput (Gbit/s)")


def test_svg__same_data_same_text() -> None:
    def drawn() -> str:
        figure = plots.figure()
        axes = figure.subplots()
        plots.cell_points(axes, 0.0, [1, 2, 3, 4, 5, 6, 7], plots.colour(1), seed=3)
        axes.set_ylabel("price in $\\frac$ & <more>")
        return plots.svg(figure, 'a "plot" of <it>')

    first = drawn()
    assert first == drawn()
    root = ET.fromstring(first)
    assert root.get("aria-label") == 'a "plot" of <it>'
    assert "20" not in first[:300].replace("2000", "")  # no date
    assert "<!-- price in $\\frac$ &amp; &lt;more&gt; -->" in first
    assert "metadata" not in first


def test_marker__differs_where_colours_repeat() -> None:
    many = len(plots.COLOURS) * 2
    assert len({(plots.colour(which), plots.marker(which)) for which in range(many)}) == many
