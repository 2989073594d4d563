# SPDX-License-Identifier: GPL-2.0-only
"""What the rounds come to: ratios of runs that stand side by side, and which aims they reach."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.contestants import PLAINEST, VARIANTS

Round = Mapping[str, Mapping[str, Any]]  # a contestant's name -> the record of its run
Verdict = Literal["reached", "missed", "not asked", "unknown"]

PEAK_MOST_MIB = 600
GROWTH_MOST = 1.05  # "does not grow": the allocator and Python's own noise are some per cent


@dataclass(frozen=True, kw_only=True)
class Condition:
    """An aim that is only asked for where another ratio reaches a value."""

    ours: str
    theirs: str
    least: float


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One ratio of goodputs; `least` must be reached, `aim` is where we want to be."""

    ours: str
    theirs: str
    least: float | None = None
    aim: float | None = None
    where: Condition | None = None


@dataclass(frozen=True, kw_only=True)
class Spread:
    """What the rounds say of one number: all None where no round has it."""

    median: float | None
    low: float | None
    high: float | None
    rounds: int


@dataclass(frozen=True, kw_only=True)
class Result:
    """A figure with what was measured, and whether that is enough. `note`: why it was not asked for."""

    figure: Figure
    ratio: Spread
    must: Verdict
    aim: Verdict
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one variant costs beside another: ratios of goodput, and of CPU seconds for each GiB."""

    ours: str
    theirs: str
    goodput: Spread
    cpu: Spread


FIGURES: tuple[Figure, ...] = (
    Figure(ours="towline, 1 lane", theirs="bare loop, 1 lane", least=0.75, aim=0.9),
    Figure(ours="towline, 2 lanes", theirs="bare loop, 2 lanes", least=0.65, aim=0.9),
    Figure(ours="towline, ring", theirs="bare loop, ring", least=0.75, aim=0.9),
    Figure(
        ours="towline, 1 lane",
        theirs="iperf3, offloads off",
        least=2.0,
        where=Condition(ours="bare loop, 1 lane", theirs="iperf3, offloads off", least=2.7),
    ),
    Figure(
        ours="towline, 2 lanes",
        theirs="iperf3, offloads off",
        least=3.0,
        where=Condition(ours="bare loop, 2 lanes", theirs="iperf3, offloads off", least=4.6),
    ),
    Figure(
        ours="towline, ring",
        theirs="iperf3, offloads off",
        least=1.5,
        where=Condition(ours="bare loop, ring", theirs="iperf3, offloads off", least=2.0),
    ),
    Figure(ours="towline, 1 lane", theirs="iperf3, offloads on", aim=1.0),
    Figure(ours="towline, 2 lanes", theirs="iperf3, offloads on", aim=1.0),
    Figure(ours="towline, ring", theirs="iperf3, offloads on"),
    Figure(ours="towline, file to file", theirs="TCP sendfile, offloads off", least=1.5),
    Figure(ours="towline, file to file", theirs="TCP sendfile, offloads on", aim=1.3),
)

# What a thing costs: goodput over goodput, and CPU time for each GiB over the same.
COSTS: tuple[tuple[str, str], ...] = (
    *((name, PLAINEST) for name in VARIANTS if name != PLAINEST and not name.startswith("plain")),
    ("socket to socket", "plain UDP"),
    ("socket to socket, udp6", "plain UDP"),
    ("socket to socket, udp6", "plain UDP, GSO"),
)


def results(rounds: Sequence[Round], figures: Iterable[Figure] = FIGURES) -> list[Result]:
    """All figures of some rounds, in their order."""
    return [_result(rounds, figure) for figure in figures]


def costs(rounds: Sequence[Round]) -> list[Cost]:
    """All COSTS of some rounds, in their order."""
    return [
        Cost(
            ours=ours,
            theirs=theirs,
            goodput=ratio(rounds, ours, theirs),
            cpu=ratio(rounds, ours, theirs, "cpu_seconds_per_gib"),
        )
        for ours, theirs in COSTS
    ]


def ratio(rounds: Sequence[Round], ours: str, theirs: str, field: str = "goodput_gbps") -> Spread:
    """Goodput over goodput, or another field, paired: the median of each round's ratio, never a ratio of medians.

    What a round made void (the host took the CPU) or did not measure is left out.
    """
    pairs = ((_value(each, ours, field), _value(each, theirs, field)) for each in rounds)
    return spread(mine / other for mine, other in pairs if mine is not None and other)


def spread(values: Iterable[float | None]) -> Spread:
    """Median, least and most of what there is."""
    known = [value for value in values if value is not None]
    if not known:
        return Spread(median=None, low=None, high=None, rounds=0)
    return Spread(median=statistics.median(known), low=min(known), high=max(known), rounds=len(known))


def memory(rounds: Sequence[Round], larger: Round) -> list[tuple[str, str, Verdict]]:
    """What was asked of towline's memory: the words, the finding and the verdict, a row for each.

    `larger`: runs of some of the same contestants with several times the bytes.
    """
    peaks = _peaks([*rounds, larger])
    found: list[tuple[str, str, Verdict]] = [
        (
            f"both processes together, at most {PEAK_MOST_MIB} MiB",
            f"{max(peaks.values()):.0f} MiB ({max(peaks, key=lambda name: peaks[name])})" if peaks else "-",
            _verdict(max(peaks.values()), lambda peak: peak <= PEAK_MOST_MIB) if peaks else "unknown",
        )
    ]
    for name, record in larger.items():
        small, large = _peaks(rounds).get(name), record.get("peak_rss_mib")
        if small and large is not None:
            times = record["file_bytes"] / rounds[0][name]["file_bytes"]
            what = f"{name}: does not grow with {times:g} times the bytes"
            finding = f"{small:.0f} -> {large:.0f} MiB"
            found.append((what, finding, _verdict(large / small, lambda growth: growth <= GROWTH_MOST)))
    return found


def missed(found: Iterable[Result], memory_found: Iterable[tuple[str, str, Verdict]]) -> list[str]:
    """What must be reached and was not, or could not be measured; in words."""
    bad = ("missed", "unknown")
    ratios = [f"{r.figure.ours} / {r.figure.theirs}" for r in found if r.must in bad and r.figure.least]
    return ratios + [what for what, _, verdict in memory_found if verdict in bad]


def _result(rounds: Sequence[Round], figure: Figure) -> Result:
    measured = ratio(rounds, figure.ours, figure.theirs)
    verdicts = [_reaches(measured, figure.least), _reaches(measured, figure.aim)]
    note = ""
    if figure.where is not None:
        condition = ratio(rounds, figure.where.ours, figure.where.theirs)
        if condition.median is None or condition.median < figure.where.least:
            seen = "-" if condition.median is None else f"{condition.median:.2f}"
            note = f"loop at {seen} < {figure.where.least:g}"
            verdicts = ["not asked", "not asked"]
    return Result(figure=figure, ratio=measured, must=verdicts[0], aim=verdicts[1], note=note)


def _reaches(measured: Spread, value: float | None) -> Verdict:
    if value is None:
        return "not asked"
    return _verdict(measured.median, lambda median: median >= value)


def _verdict(value: float | None, good: Callable[[float], bool]) -> Verdict:
    if value is None:
        return "unknown"
    return "reached" if good(value) else "missed"


def _value(each: Round, name: str, field: str) -> float | None:
    record = each.get(name)
    if record is None or record.get("void") or record.get("verified") is False:
        return None
    found: float | None = record.get(field)
    return found


def _peaks(rounds: Iterable[Round]) -> dict[str, float]:
    """The most memory of each of towline's contestants."""
    found: dict[str, float] = {}
    for each in rounds:
        for name, record in each.items():
            if name.startswith("towline") and record.get("peak_rss_mib") is not None:
                found[name] = max(found.get(name, 0.0), record["peak_rss_mib"])
    return found
