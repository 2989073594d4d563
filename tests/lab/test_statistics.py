# SPDX-License-Identifier: GPL-2.0-only
"""Intervals and verdicts: what they promise, tried out on numbers whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from towline.lab.statistics import (
    Difference,
    Ratio,
    median_interval,
    paired_difference,
    paired_ratio,
    unpaired_ratio,
    verdict,
)

VALUES = st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=40)


def blocks(values: np.ndarray) -> dict[int, float]:
    return dict(enumerate(values.tolist()))


@pytest.mark.parametrize(
    ("n", "left_out"),
    # Tables in textbooks count from 1: (6; 1 and 6), (10; 2 and 9), (20; 6 and 15), (25; 8 and 18).
    [(6, 0), (8, 0), (9, 1), (10, 1), (20, 5), (25, 7)],
)
def test_median_interval__order_statistics_of_the_tables(n: int, left_out: int) -> None:
    found = median_interval(range(n, 0, -1))
    assert (found.low, found.high, found.n) == (1 + left_out, n - left_out, n)
    assert found.median == (n + 1) / 2


def test_median_interval__no_interval_from_few() -> None:
    found = median_interval([3.0, 1.0, 2.0, 5.0, 4.0])
    assert (found.median, found.low, found.high) == (3.0, None, None)


def test_median_interval__nothing() -> None:
    with pytest.raises(ValueError, match="nothing"):
        median_interval([])


@pytest.mark.parametrize("n", [6, 11, 20])
def test_median_interval__encloses_the_truth_as_often_as_it_says(n: int) -> None:
    draws = np.random.default_rng(5).lognormal(size=(2000, n))  # skewed, with a median of 1
    found = [median_interval(row) for row in draws]
    covered = np.mean([one.low <= 1 <= one.high for one in found if one.low and one.high])
    promised = 1 - 2 * sum(math.comb(n, k) for k in range(np.sum(np.sort(draws[0]) < found[0].low) + 1)) / 2**n
    assert promised >= 0.95
    assert covered == pytest.approx(promised, abs=0.015)


@given(VALUES)
def test_median_interval__is_made_of_the_values_and_around_the_median(values: list[float]) -> None:
    found = median_interval(values)
    if found.low is not None and found.high is not None:
        assert found.low in values
        assert found.high in values
        assert found.low <= found.median <= found.high


@pytest.mark.parametrize("n", [6, 7, 20])
def test_paired_ratio__finds_nothing_where_there_is_nothing(n: int) -> None:
    noise = np.random.default_rng(11).lognormal(sigma=0.05, size=(300, 2, n))
    found = [paired_ratio(blocks(ours), blocks(theirs)) for ours, theirs in noise]
    alarms = sum(verdict(one) != "no difference found" for one in found if one)
    assert alarms <= 300 * 0.05 + 2.5 * math.sqrt(300 * 0.05 * 0.95)


def test_paired_ratio__finds_five_per_cent_under_noise_of_two() -> None:
    generator = np.random.default_rng(3)
    found = []
    for _ in range(100):
        drift = generator.lognormal(sigma=0.3, size=20)  # what a block's runs have in common
        ours, theirs = generator.lognormal(sigma=0.02, size=(2, 20)) * drift
        found.append(paired_ratio(blocks(ours * 1.05), blocks(theirs)))
    assert all(one is not None and verdict(one) == "higher" for one in found)
    assert np.mean([one.low <= 1.05 <= one.high for one in found if one and one.low and one.high]) >= 0.9


def test_paired_ratio__compares_blocks_that_both_have() -> None:
    ours = {block: 2.0 * (block + 1) for block in range(8)}
    theirs = {block: 1.0 * (block + 1) for block in range(1, 9)}
    found = paired_ratio(ours, theirs)
    assert found == Ratio(ratio=2.0, low=2.0, high=2.0, n=7)


def test_paired_ratio__few_blocks_have_no_interval() -> None:
    found = paired_ratio({0: 3.0, 1: 3.0}, {0: 1.0, 1: 1.0})
    assert found == Ratio(ratio=3.0, low=None, high=None, n=2)
    assert verdict(found) == "too few blocks"


@pytest.mark.parametrize(("ours", "theirs"), [({}, {}), ({0: 1.0}, {1: 1.0}), ({0: 1.0, 1: 1.0}, {0: 0.0, 1: 1.0})])
def test_paired_ratio__nothing_to_compare(ours: dict[int, float], theirs: dict[int, float]) -> None:
    assert paired_ratio(ours, theirs) is None


@given(st.lists(st.tuples(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3)), min_size=6, max_size=15))
def test_paired_ratio__same_seed_same_interval(pairs: list[tuple[float, float]]) -> None:
    ours, theirs = (dict(enumerate(side)) for side in zip(*pairs, strict=True))
    found = paired_ratio(ours, theirs, seed=4)
    assert found == paired_ratio(ours, theirs, seed=4)
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.ratio <= found.high


def test_paired_difference__finds_what_was_added() -> None:
    generator = np.random.default_rng(8)
    drift = generator.normal(5000, 500, 24)
    ours, theirs = drift + generator.normal(0, 20, (2, 24))
    found = paired_difference(blocks(ours + 2000), blocks(theirs))
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert found.low <= 2000 <= found.high
    assert found.high - found.low < 60
    assert verdict(found) == "higher"


def test_paired_difference__nothing_to_compare() -> None:
    assert paired_difference({0: 1.0}, {1: 1.0}) is None


def test_unpaired_ratio__of_medians() -> None:
    generator = np.random.default_rng(2)
    found = unpaired_ratio(generator.normal(12, 0.1, 15).tolist(), generator.normal(10, 0.1, 9).tolist())
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert found.low <= 1.2 <= found.high
    assert found.n == 9
    assert unpaired_ratio([1.0], []) is None
    assert unpaired_ratio([1.0], [0.0]) is None
    assert unpaired_ratio([2.0] * 5, [1.0] * 9) == Ratio(ratio=2.0, low=None, high=None, n=5)


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (1.01, 1.2, "higher"),
        (0.8, 0.99, "lower"),
        (0.9, 1.1, "no difference found"),
        (1.0, 1.1, "no difference found"),
        (None, None, "too few blocks"),
    ],
)
def test_verdict__only_where_the_interval_excludes_equality(low: float | None, high: float | None, word: str) -> None:
    assert verdict(Ratio(ratio=1.0, low=low, high=high, n=9)) == word
    shifted = (None if low is None else low - 1, None if high is None else high - 1)
    assert verdict(Difference(difference=0.0, low=shifted[0], high=shifted[1], n=9)) == word
