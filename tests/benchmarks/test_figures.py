# SPDX-License-Identifier: GPL-2.0-only
"""Figures: paired ratios, their median, and what they are held against."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.contestants import CONTESTANTS, LARGER, PLAINEST, VARIANTS
from benchmarks.figures import COSTS, FIGURES, Condition, Figure, Spread, costs, memory, missed, ratio, results, spread


def run(goodput_gbps: float | None, **more: Any) -> dict[str, Any]:
    return {"goodput_gbps": goodput_gbps, "verified": True, "void": False, **more}


def rounds(**goodputs: list[float | None]) -> list[dict[str, dict[str, Any]]]:
    """Rounds from the goodputs of each contestant."""
    return [
        dict(zip(goodputs, (run(value) for value in values), strict=True))
        for values in zip(*goodputs.values(), strict=True)
    ]


def test_ratio__is_the_median_of_ratios_and_not_the_ratio_of_medians() -> None:
    found = ratio(rounds(a=[1.0, 20.0, 3.0], b=[1.0, 10.0, 10.0]), "a", "b")
    assert found == Spread(median=1.0, low=0.3, high=2.0, rounds=3)


def test_ratio__leaves_out_what_is_void_or_unverified_or_not_there() -> None:
    measured = [
        {"a": run(4.0), "b": run(2.0)},
        {"a": run(9.0, void=True), "b": run(1.0)},
        {"a": run(9.0), "b": run(1.0, verified=False)},
        {"a": run(9.0), "b": run(None)},
        {"a": run(9.0)},
    ]
    assert ratio(measured, "a", "b") == Spread(median=2.0, low=2.0, high=2.0, rounds=1)


def test_ratio__nothing_verifies_iperf3() -> None:
    assert ratio([{"a": run(4.0), "b": run(2.0, verified=None)}], "a", "b").median == 2.0


def test_spread__of_nothing() -> None:
    assert spread([None]) == Spread(median=None, low=None, high=None, rounds=0)


@pytest.mark.parametrize(
    ("ours", "verdicts"), [(0.7, ("missed", "missed")), (0.75, ("reached", "missed")), (0.9, ("reached",) * 2)]
)
def test_results__must_and_aim(ours: float, verdicts: tuple[str, str]) -> None:
    (found,) = results(rounds(a=[ours], b=[1.0]), [Figure(ours="a", theirs="b", least=0.75, aim=0.9)])
    assert (found.must, found.aim) == verdicts


def test_results__is_not_asked_for_where_the_loop_does_not_get_there() -> None:
    figure = Figure(ours="a", theirs="b", least=2.0, where=Condition(ours="loop", theirs="b", least=2.7))
    (slow,) = results(rounds(a=[1.0], b=[1.0], loop=[2.6]), [figure])
    assert (slow.must, slow.note) == ("not asked", "loop at 2.60 < 2.7")
    (fast,) = results(rounds(a=[1.0], b=[1.0], loop=[2.7]), [figure])
    assert (fast.must, fast.note) == ("missed", "")


def test_results__of_no_rounds_are_unknown() -> None:
    for found in results([]):
        assert found.ratio.median is None
        assert found.must == ("unknown" if found.figure.least and not found.figure.where else "not asked")


def test_figures__are_of_those_who_take_part() -> None:
    named = {name for figure in FIGURES for name in (figure.ours, figure.theirs)}
    named |= {name for figure in FIGURES if figure.where for name in (figure.where.ours, figure.where.theirs)}
    assert named | set(LARGER) == set(CONTESTANTS)


def peaks(**mib: float | None) -> dict[str, dict[str, Any]]:
    return {name.replace("_", " "): run(1.0, peak_rss_mib=peak, file_bytes=100) for name, peak in mib.items()}


def test_memory__most_of_all_and_growth_of_each() -> None:
    larger = {"towline a": run(1.0, peak_rss_mib=220, file_bytes=400)}
    found = memory([peaks(towline_a=200, tcp=900), peaks(towline_a=210, towline_b=300)], larger)
    assert [verdict for _, _, verdict in found] == ["reached", "reached"]
    assert "300 MiB (towline b)" in found[0][1]
    assert found[1][:2] == ("towline a: does not grow with 4 times the bytes", "210 -> 220 MiB")


def test_memory__too_much_and_growing() -> None:
    larger = {"towline a": run(1.0, peak_rss_mib=601, file_bytes=400)}
    found = memory([peaks(towline_a=200)], larger)
    assert [verdict for _, _, verdict in found] == ["missed", "missed"]


def test_memory__not_measured_is_not_reached() -> None:
    assert [verdict for _, _, verdict in memory([peaks(towline_a=None)], {})] == ["unknown"]


def test_missed__names_what_must_be_and_is_not() -> None:
    figures = [Figure(ours="a", theirs="b", least=2.0), Figure(ours="a", theirs="b", aim=2.0)]
    found = results(rounds(a=[1.0], b=[1.0]), figures)
    assert missed(found, [("m", "-", "missed"), ("n", "-", "reached")]) == ["a / b", "m"]
    assert missed(results([], figures), []) == ["a / b"]


def test_costs__everybody_is_compared_and_takes_part() -> None:
    assert {name for pair in COSTS for name in pair} == set(VARIANTS)
    assert [theirs for ours, theirs in COSTS if ours == "checksum"] == [PLAINEST]


def test_costs__goodput_and_cpu_of_each_round() -> None:
    measured = [
        {PLAINEST: run(10.0, cpu_seconds_per_gib=1.0), "ring": run(5.0, cpu_seconds_per_gib=3.0)},
        {PLAINEST: run(10.0, cpu_seconds_per_gib=None), "ring": run(8.0, cpu_seconds_per_gib=2.0)},
    ]
    (ring,) = [cost for cost in costs(measured) if cost.ours == "ring"]
    assert ring.goodput == Spread(median=0.65, low=0.5, high=0.8, rounds=2)
    assert ring.cpu == Spread(median=3.0, low=3.0, high=3.0, rounds=1)  # one round did not measure it
