# SPDX-License-Identifier: GPL-2.0-only
"""What may be said of repeated runs: medians, ratios and differences, each with an interval of 95 %."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
LEAST = 6  # with fewer values no two of them enclose the median in 95 % of cases
RESAMPLES = 10_000

Floats = NDArray[np.float64]
Verdict = Literal["higher", "lower", "no difference found", "too few blocks"]


@dataclass(frozen=True, kw_only=True)
class Interval:
    """The median of n values, and between what the true one lies; low and high are None for n < LEAST."""

    median: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """How many times the other's value, from n blocks; low and high are None for n < LEAST."""

    ratio: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How much more than the other's value, in its unit; otherwise as `Ratio`."""

    difference: float
    low: float | None
    high: float | None
    n: int


def median_interval(values: Sequence[float]) -> Interval:
    """The median and the narrowest symmetric pair of order statistics that encloses it in 95 % of cases or more.

    That assumes nothing about the distribution: how many of n values lie below the true median is binomial
    (W. R. Thompson, Annals of Mathematical Statistics 7, 1936; David and Nagaraja, Order Statistics, section 7.1).
    Raises ValueError without values.
    """
    if not len(values):
        raise ValueError("there is no median of nothing")
    ordered = np.sort(np.asarray(values, np.float64))
    outer = _rank(len(ordered))
    return Interval(
        median=float(np.median(ordered)),
        low=None if outer is None else float(ordered[outer]),
        high=None if outer is None else float(ordered[-1 - outer]),
        n=len(ordered),
    )


def paired_ratio(ours: Mapping[int, float], theirs: Mapping[int, float], seed: int = 0) -> Ratio | None:
    """The median over blocks of ours / theirs; the keys are the blocks, and those that both have are compared.

    The interval is the percentile bootstrap over blocks (Efron and Tibshirani, An Introduction to the Bootstrap,
    chapter 13), but never inside that of `median_interval`: of a median of few values the bootstrap alone is too
    narrow (with 7 blocks it finds a difference in 11 % of cases without one). None where nothing can be compared: no
    common block, or a 0 among theirs.
    """
    one, other = _pairs(ours, theirs)
    if not len(one) or not other.all():
        return None
    ratios = one / other
    low, high = _between(ratios, seed)
    return Ratio(ratio=float(np.median(ratios)), low=low, high=high, n=len(ratios))


def paired_difference(ours: Mapping[int, float], theirs: Mapping[int, float], seed: int = 0) -> Difference | None:
    """The median over blocks of ours - theirs, as `paired_ratio`; None without a common block."""
    one, other = _pairs(ours, theirs)
    if not len(one):
        return None
    differences = one - other
    low, high = _between(differences, seed)
    return Difference(difference=float(np.median(differences)), low=low, high=high, n=len(differences))


def unpaired_ratio(ours: Sequence[float], theirs: Sequence[float], seed: int = 0) -> Ratio | None:
    """The ratio of two medians whose runs have no blocks in common, each side resampled on its own.

    n is the smaller of the two numbers of values. None where a side is empty or their median is 0.
    """
    if not len(ours) or not len(theirs) or not np.median(theirs):
        return None
    n = min(len(ours), len(theirs))
    low = high = None
    if n >= LEAST:
        one, other = (
            _medians(np.asarray(values, np.float64), seed + number) for number, values in enumerate((ours, theirs))
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            found = _percentiles((one / other)[other != 0])
        low, high = found
    return Ratio(ratio=float(np.median(ours) / np.median(theirs)), low=low, high=high, n=n)


def verdict(found: Ratio | Difference) -> Verdict:
    """In words; "higher" and "lower" only where the interval excludes equality."""
    equal = 1.0 if isinstance(found, Ratio) else 0.0
    if found.low is None or found.high is None:
        return "too few blocks"
    if found.low > equal:
        return "higher"
    return "lower" if found.high < equal else "no difference found"


def _pairs(ours: Mapping[int, float], theirs: Mapping[int, float]) -> tuple[Floats, Floats]:
    blocks = sorted(ours.keys() & theirs.keys())
    return tuple(np.array([side[block] for block in blocks], np.float64) for side in (ours, theirs))  # type: ignore[return-value]


def _between(values: Floats, seed: int) -> tuple[float | None, float | None]:
    """The bootstrap's interval of a median, or the exact one's ends where those are further out."""
    exact = median_interval([float(value) for value in values])
    if exact.low is None or exact.high is None:
        return None, None
    low, high = _percentiles(_medians(values, seed))
    return min(low, exact.low), max(high, exact.high)


def _percentiles(values: Floats) -> tuple[float, float]:
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(values, [tail, 100 - tail])
    return float(low), float(high)


def _medians(values: Floats, seed: int) -> Floats:
    """Of RESAMPLES samples with replacement."""
    medians: Floats = np.median(values[_resamples(len(values), seed)], axis=1)
    return medians


@lru_cache(maxsize=8)
def _resamples(n: int, seed: int) -> NDArray[np.intp]:
    """Indices of the resampled values, one sample per row; a page needs the same ones for every cell."""
    return np.random.default_rng([seed, n]).integers(0, n, (RESAMPLES, n), dtype=np.intp)


@lru_cache(maxsize=256)
def _rank(n: int) -> int | None:
    """How many of n ordered values to leave out at each end; None: even the outermost enclose too little."""
    tail, left_out = 0.0, None
    for below in range(n // 2):
        tail += math.comb(n, below) / 2**n
        if 2 * tail > 1 - CONFIDENCE:
            break
        left_out = below
    return left_out
