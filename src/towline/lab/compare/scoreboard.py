# SPDX-License-Identifier: GPL-2.0-only
"""The tables of a comparison, as text: what each contestant reached, beside towline, and what it cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from towline.lab.compare.comparison import Cell, Compared
from towline.lab.compare.contestants import OURS, Contestant
from towline.lab.statistics import Interval, Ratio, verdict
from towline.lab.sweep.results import ATTEMPTS_MOST
from towline.quantities import format_duration, format_share, format_size

UNKNOWN = "-"
CAPPED = "*"
_GIGABIT_FROM = 0.95  # largest median in Gbit/s from which a table is in Gbit/s
_VERDICTS: Mapping[str, str] = {
    "higher": "faster",
    "lower": "slower",
    "no difference found": "no difference found",
    "too few blocks": "too few blocks for a verdict",
}


@dataclass(frozen=True, kw_only=True)
class Table:
    """`rows`: words, the first of each says of whom; `notes`: what its marks mean."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How goodput is written: `factor` times Gbit/s is `unit`."""

    unit: str
    factor: float


def scale(compared: Compared) -> Scale:
    """Mbit/s, unless somebody reaches a gigabit."""
    medians = [found.median for cell in compared.comparison.cells if (found := compared.median(cell, "goodput_gbps"))]
    if medians and max(medians) >= _GIGABIT_FROM:
        return Scale(unit="Gbit/s", factor=1.0)
    return Scale(unit="Mbit/s", factor=1000.0)


def tables(compared: Compared) -> list[Table]:
    """Goodput; towline beside each, where it takes part; CPU time."""
    found = [goodput(compared), ratios(compared), costs(compared)]
    return [table for table in found if table.rows]


def goodput(compared: Compared) -> Table:
    """Medians with intervals."""
    unit = scale(compared)

    def entry(cell: Cell) -> str:
        return interval(compared.median(cell, "goodput_gbps"), unit.factor) + _mark(compared, cell)

    def lost(cell: Cell) -> str:
        return interval(compared.median(cell, "lost"), 100)

    cells = compared.comparison.cells
    notes = ["median of the repetitions, with the 95 % interval of the median in brackets"]
    if any(compared.capped(cell) for cell in cells):
        cap = format_duration(round(compared.comparison.cap_s * 1e6))
        notes.append(f"{CAPPED} not finished after {cap}, in one run or more: bytes delivered by then, per second")
    no_file = [one.label for one in _taking_part(compared) if not one.delivers_file]
    if no_file:
        notes.append(f"delivers no file, and writes none: {'; '.join(no_file)}")
    table = _table(compared, f"Goodput, {unit.unit}", entry, notes)
    shares = _table(compared, "", lost, [])
    rows = tuple((f"{row[0]}: % lost", *row[1:]) for row in shares.rows if set(row[1:]) != {UNKNOWN})
    return dataclasses.replace(table, rows=table.rows + rows)


def ratios(compared: Compared) -> Table:
    """Towline's goodput as a multiple of each other's."""

    def entry(cell: Cell) -> str:
        found = compared.ratio(cell)
        return UNKNOWN if found is None else ratio(found) + _mark(compared, cell)

    notes = [
        "median over the blocks of towline's goodput divided by the other's in the same block, with the 95 % interval "
        "(bootstrap over blocks); only where that excludes 1, there is a difference"
    ]
    table = _table(compared, "towline's goodput as a multiple of", entry, notes)
    return dataclasses.replace(table, rows=tuple(row for row in table.rows if set(row[1:]) != {UNKNOWN}))


def costs(compared: Compared) -> Table:
    """CPU time of both sides, of the kernel and of the emulator, for what was delivered."""

    def entry(cell: Cell) -> str:
        return interval(compared.median(cell, "cpu_seconds_per_gib"))

    notes = ["of the whole machine, both ends and the emulator; median with its 95 % interval"]
    return _table(compared, "CPU, seconds per GiB delivered", entry, notes)


def answers(compared: Compared) -> list[str]:
    """For each loss, a sentence: towline, and the fastest other that delivers a file."""
    unit = scale(compared)
    found = []
    for loss in compared.comparison.losses:
        medians = {
            cell.contestant.name: (cell, median.median)
            for cell in compared.at(loss)
            if cell.contestant.delivers_file and (median := compared.median(cell, "goodput_gbps"))
        }
        ours = medians.pop(OURS, None)
        rivals = {name: pair for name, pair in medians.items() if pair[0].contestant.yardstick is not None}
        if ours is None or not rivals:
            continue
        best, reached = max(rivals.values(), key=lambda pair: pair[1])
        times = compared.ratio(best)
        beside = f". That is {ratio(times)} times as much: {_VERDICTS[verdict(times)]}" if times else ""
        found.append(
            f"At {format_share(loss)} loss {ours[0].contestant.label} reaches {_digits(ours[1] * unit.factor)} "
            f"{unit.unit}; the fastest other that delivers a file is {best.contestant.label} with "
            f"{_digits(reached * unit.factor)} {unit.unit}{beside}."
        )
    return found


def beforehand(compared: Compared, folder: Path) -> list[str]:
    """What a comparison is, before it begins."""
    one = compared.comparison
    losses = ", ".join(map(format_share, one.losses))
    return [
        f"{format_size(one.size_bytes)} over {one.conditions()}; loss {losses} each way",
        f"{len(one.contestants)} contestants x {len(one.losses)} losses x {one.repetitions} blocks in random order = "
        f"{one.runs} runs; about {_minutes(one.estimate_s())}, at most {_minutes(one.longest_s())} if every yardstick "
        f"is stopped after {format_duration(round(one.cap_s * 1e6))} (and more where a run is void: it is repeated, "
        f"{ATTEMPTS_MOST - 1} times at most); into {folder}",
        *missing(compared),
    ]


def missing(compared: Compared) -> list[str]:
    """Who is not there, and why."""
    found = compared.comparison.all
    return [f"not there: {found[name].label}: {why}" for name, why in compared.comparison.missing.items()]


def interval(found: Interval | None, factor: float = 1.0) -> str:
    """`187 (186 to 188)`, or the median alone."""
    if found is None:
        return UNKNOWN
    if found.low is None or found.high is None:
        return _digits(found.median * factor)
    low, high = (_digits(value * factor) for value in (found.low, found.high))
    return f"{_digits(found.median * factor)} ({low} to {high})"


def ratio(found: Ratio) -> str:
    """`1.07 (1.06 to 1.08)`."""
    between = "" if found.low is None or found.high is None else f" ({_digits(found.low)} to {_digits(found.high)})"
    return f"{_digits(found.ratio)}{between}"


def _mark(compared: Compared, cell: Cell) -> str:
    return f" {CAPPED}" if compared.capped(cell) else ""


def _table(compared: Compared, title: str, entry: Callable[[Cell], str], notes: list[str]) -> Table:
    losses = compared.comparison.losses
    by_pair = {(cell.loss, cell.contestant.name): cell for cell in compared.comparison.cells}
    rows = tuple((one.label, *(entry(by_pair[loss, one.name]) for loss in losses)) for one in _taking_part(compared))
    header = ("", *(f"loss {format_share(loss)}" for loss in losses)) if compared.comparison.emulated else ("", "")
    return Table(title=title, header=header, rows=rows, notes=tuple(notes))


def _taking_part(compared: Compared) -> list[Contestant]:
    found = compared.comparison.all
    return [found[name] for name in compared.comparison.contestants]


def _digits(value: float) -> str:
    """Three digits, or all in front of the decimal point."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:#.3g}" if value >= 0.001 else f"{value:.3f}"


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
