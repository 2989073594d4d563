# SPDX-License-Identifier: GPL-2.0-only
"""What is told of swaps: distributions of times, as percentiles and as curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from towline.running.swap import EFFECT_S
from towline.transmit.lane import bucket_middle

PERCENTILES = (50, 90, 99, 99.9, 100)


@dataclass(frozen=True, kw_only=True)
class Distributions:
    """In microseconds. Three are of each swap; `other_gaps_us` is what 0.1 to 100 % of all moments do not exceed."""

    replace_us: NDArray[np.float64]  # the link update
    effect_us: NDArray[np.float64]  # from there to the first packet that the new program took, as user space sees it
    gap_us: NDArray[np.float64]  # before that packet
    other_gaps_us: NDArray[np.float64]


def random_moments(histogram: NDArray[np.uint32]) -> NDArray[np.float64]:
    """The gaps (microseconds) that 0.1 to 100 % of all moments do not exceed, from counts by bucket of nanoseconds: a
    moment that chance chooses falls into a gap in proportion to its length.
    """
    middles = np.array([bucket_middle(number) for number in range(len(histogram))], np.float64)
    counts = np.where(middles < EFFECT_S * 1e9, histogram, 0)  # there was none before the first packet
    weights = np.cumsum(counts * middles)
    wanted = np.arange(1, 1001) / 1000 * weights[-1]
    found: NDArray[np.float64] = middles[np.searchsorted(weights, wanted)] / 1e3
    return found


def percentiles(values: NDArray[np.float64]) -> str:
    """Of PERCENTILES, in columns."""
    return "  ".join(f"{number:9,.1f}" for number in np.percentile(values, PERCENTILES))


def rows(what: str, found: Distributions) -> list[str]:
    """A heading and a line for each distribution."""
    named = (
        ("link update", found.replace_us),
        ("command to effect", found.effect_us),
        ("gap around a swap", found.gap_us),
        ("gap at any moment", found.other_gaps_us),
    )
    heading = f"{len(found.gap_us):,} {what}, microseconds at {PERCENTILES} %:"
    return [heading, *(f"  {name:<18}{percentiles(values)}" for name, values in named)]


def draw(panels: Sequence[tuple[str, Distributions]], path: Path) -> None:
    """The distributions as curves, a panel for each, below what it shows."""
    figure = Figure(figsize=(4.5 * len(panels), 3.6), layout="constrained")
    for axes, (what, found) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _draw_panel(axes, found)
        axes.set_title(f"{len(found.gap_us):,} {what}", fontsize=10)
    figure.axes[0].set_ylabel("share of swaps, or of moments (%)")
    figure.axes[0].legend(frameon=False, fontsize=8)
    figure.savefig(path)


def _draw_panel(axes: Axes, found: Distributions) -> None:
    for name, values in (
        ("gap around a swap", found.gap_us),
        ("gap at any moment", found.other_gaps_us),
        ("command to effect", found.effect_us),
    ):
        ordered = np.sort(values)
        axes.step(ordered, np.arange(1, len(ordered) + 1) / len(ordered) * 100, where="post", label=name)
    axes.set_xscale("log")
    axes.set_xlabel("microseconds")
    axes.grid(alpha=0.3)
