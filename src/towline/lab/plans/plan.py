# SPDX-License-Identifier: GPL-2.0-only
"""A plan: the question of an experiment, its cells and its plots, read from TOML and checked before anything runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast, get_args

from towline.errors import SettingsError
from towline.lab.measures import MEASURES
from towline.lab.plans.axes import Axis, size_of, value_of
from towline.lab.plans.cells import Cell, Layout, layout
from towline.lab.plans.source import Source
from towline.lab.plans.toml_lines import Where
from towline.lab.run import Run, impairments_of
from towline.quantities import format_duration, parse_duration

__all__ = ["Axis", "Cell", "Plan", "Plot", "PlotKind", "parse", "read"]

PlotKind = Literal["line", "distribution", "series"]

ENVIRONMENTS = ("veth",)
SERIES = ("goodput_gbps", "rtt_us", "retransmissions", "packets_sent", "done_bytes", "window_fill", "ring_fill")
DEFAULT_REPETITIONS = 8
MOST_REPETITIONS = 10_000
SHORTEST_US = 500_000  # a shorter run is marked, and not plotted
SHORTEST_SHORT_US = 10_000  # where short transfers are the question
LONGEST_US = 3_600_000_000
QUICK_US = 600_000
QUICK_BYTES = 16 << 20
QUICK_REPETITIONS = 2

_NAMES = (
    *("environment", "duration", "size", "repetitions", "seed", "baseline", "short_transfers"),
    *("program_statistics", "settings", "axes", "cells", "plot"),
)
_FIRST_LINE = re.compile(r"#\s*(?:\S+\.toml:\s*)?(.*\S)\s*")


@dataclass(frozen=True, kw_only=True)
class Plot:
    """One plot: the measure `y` over the axis `x`, with a line for each value of the axis `line`.

    `series`: `y` (of SERIES) over time. `distribution`: every run's `y`, for each value of `x`.
    """

    name: str
    y: str
    x: str | None = None
    line: str | None = None
    kind: PlotKind = "line"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """An experiment. `duration_us`: of a run, None: the cells' sizes count; `seed`: of its chances, None: any.

    `axes`: by name, in order. `baseline`: axis -> label; every other cell is compared with the cell that has these and
    else its own values. `plots`: at least one. `short_transfers`: short runs are the question, and plotted.
    `program_statistics`: the kernel measures the programs' time, which costs some ns a packet.
    """

    path: str
    name: str
    question: str
    text: str
    environment: str
    duration_us: int | None
    repetitions: int
    seed: int | None
    axes: Mapping[str, Axis]
    baseline: Mapping[str, str]
    cells: tuple[Cell, ...]
    plots: tuple[Plot, ...]
    short_transfers: bool
    program_statistics: bool

    def baseline_of(self, cell: Cell) -> Cell | None:
        """The cell that a cell is compared with; None for a baseline itself, and where the plan has none."""
        wanted = {**cell.labels, **self.baseline}
        return next((one for one in self.cells if one is not cell and one.labels == wanted), None)

    @property
    def emulated(self) -> bool:
        """Whether any cell is impaired: then all cross the emulator."""
        return any(impairments_of(Run(source=1, settings=cell.settings)) is not None for cell in self.cells)


def read(path: Path, *, quick: bool = False, repetitions: int | None = None) -> Plan:
    """The plan in a file, see `parse`; SettingsError also where there is no such file."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise SettingsError(f"{path}:1: this is not TOML: it is not text in UTF-8") from None
    except OSError as error:
        there = sorted(str(one) for one in path.parent.glob("*.toml"))
        known = f"; there are: {', '.join(there)}" if there else ""
        raise SettingsError(f"{path}: there is no plan to read here ({error.strerror}){known}") from None
    return parse(text, str(path), quick=quick, repetitions=repetitions)


def parse(text: str, path: str, *, quick: bool = False, repetitions: int | None = None) -> Plan:
    """A plan from its text. `quick`: first, middle and last value of each axis, short runs, few repetitions.

    Raises SettingsError, which names file and line and the legal values, for whatever could not be carried out.
    """
    source = Source(text, path)
    source.only((), source.data, _NAMES)
    arrangement = layout(source)
    short_transfers = _switch(source, "short_transfers")
    duration_us, size_bytes = _extent(source, arrangement, short_transfers)
    cells = arrangement.cells(size_bytes)
    baseline = _baseline(source, arrangement, cells)
    if quick:
        duration_us = None if duration_us is None else min(duration_us, QUICK_US)
        size_bytes = None if size_bytes is None else min(size_bytes, QUICK_BYTES)
        cells = arrangement.thinned(baseline).cells(size_bytes)
    asked = _whole(source, "repetitions", 1, MOST_REPETITIONS, DEFAULT_REPETITIONS)
    if repetitions is not None and not 1 <= repetitions <= MOST_REPETITIONS:
        raise SettingsError(f"--repetitions is {repetitions}: it must be from 1 to {MOST_REPETITIONS}")
    first = _FIRST_LINE.fullmatch(text.partition("\n")[0])
    return Plan(
        path=path,
        name=Path(path).stem,
        question=first[1] if first else Path(path).stem,
        text=text,
        environment=_environment(source),
        duration_us=duration_us,
        repetitions=repetitions or (QUICK_REPETITIONS if quick else asked or DEFAULT_REPETITIONS),
        seed=_whole(source, "seed", 0, (1 << 63) - 1, None),
        axes={name: arrangement.axis(name) for name in arrangement.names},
        baseline=baseline,
        cells=cells,
        plots=_plots(source, cells),
        short_transfers=short_transfers,
        program_statistics=_switch(source, "program_statistics"),
    )


def _environment(source: Source) -> str:
    name = source.data.get("environment", ENVIRONMENTS[0])
    if name not in ENVIRONMENTS:
        raise source.wrong(("environment",), f"environment is {name!r}: it must be {' or '.join(ENVIRONMENTS)}")
    return str(name)


def _switch(source: Source, name: str) -> bool:
    value = source.data.get(name, False)
    if not isinstance(value, bool):
        raise source.wrong((name,), f"{name} is {value!r}: it must be true or false")
    return value


def _whole(source: Source, name: str, low: int, high: int, default: int | None) -> int | None:
    value = source.data.get(name, default)
    if value is not None and (type(value) is not int or not low <= value <= high):
        raise source.wrong((name,), f"{name} is {value!r}: it must be a whole number from {low} to {high}")
    return value


def _extent(source: Source, arrangement: Layout, short_transfers: bool) -> tuple[int | None, int | None]:
    """How long a run takes, or how large its file is; one of them, or none where the size is an axis."""
    said = [name for name in ("duration", "size") if name in source.data]
    if "size" in arrangement.names:
        if said:
            raise source.wrong((said[0],), f"{said[0]} cannot hold: the size is an axis; leave {said[0]} out")
        return None, None
    if len(said) != 1:
        raise source.wrong(tuple(said[1:]), 'a plan has either duration = "2s" or size = "64M", or size as an axis')
    where, written = (said[0],), source.data[said[0]]
    if said == ["size"]:
        return None, source.read(where, lambda one: size_of(_text(one)), written)
    duration_us = source.read(where, lambda one: parse_duration(_text(one)), written)
    least = SHORTEST_SHORT_US if short_transfers else SHORTEST_US
    if not least <= duration_us <= LONGEST_US:
        why = "" if short_transfers else " (shorter runs need short_transfers = true, or are not plotted)"
        legal = f"from {format_duration(least)} to {format_duration(LONGEST_US)}{why}"
        raise source.wrong(where, f"duration is {format_duration(duration_us)}: it must be {legal}")
    return duration_us, None


def _text(written: Any) -> str:
    if isinstance(written, bool) or not isinstance(written, (int, str)):
        raise SettingsError(f"{written!r} is not a text with a number and a unit")
    return str(written)


def _baseline(source: Source, arrangement: Layout, cells: tuple[Cell, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    names = arrangement.names
    for written, value in source.table(("baseline",), source.data.get("baseline", {})).items():
        where: Where = ("baseline", written)
        name = source.axis(where, written, tuple(names))
        label = source.read(where, partial(value_of, name), value).label
        legal = [one.label for one in arrangement.values(name)]
        if label not in legal:
            raise source.wrong(
                where, f"{name} is never {label}, so nothing can be compared with it: {', '.join(legal)}"
            )
        found[name] = label
    labels = [cell.labels for cell in cells]
    for cell in labels if found else []:
        if {**cell, **found} not in labels:
            what = ", ".join(f"{name} = {label}" for name, label in {**cell, **found}.items())
            raise source.wrong(("baseline",), f"there is no cell {what} to compare with: name more of its axes here")
    return found


def _plots(source: Source, cells: tuple[Cell, ...]) -> tuple[Plot, ...]:
    written = source.table(("plot",), source.data.get("plot", {}))
    if not written:
        first = next(iter(cells[0].labels))
        return (Plot(name="goodput", y="goodput_gbps", x=first, line=_free_axis(first, cells)),)
    return tuple(_plot(source, name, table, cells) for name, table in written.items())


def _plot(source: Source, name: str, written: object, cells: tuple[Cell, ...]) -> Plot:
    where: Where = ("plot", name)
    table = source.table(where, written)
    source.only(where, table, ("kind", "x", "y", "line"))
    if re.fullmatch(r"[A-Za-z0-9_-]+", name) is None:
        raise source.wrong(where, f"{name!r} names a file too: write it with letters, digits, - and _")
    kind = cast(PlotKind, _one_of(source, (*where, "kind"), table.get("kind", "line"), get_args(PlotKind)))
    y = _one_of(source, (*where, "y"), table.get("y", "goodput_gbps"), SERIES if kind == "series" else tuple(MEASURES))
    names = tuple(cells[0].labels)
    said = {key: source.axis((*where, key), str(table[key]), names) for key in ("x", "line") if key in table}
    if kind == "series" and "x" in said:
        raise source.wrong((*where, "x"), "a plot of kind series is over time: leave x out")
    x = None if kind == "series" else said.get("x", names[0])
    line = said.get("line") or _free_axis(x, cells)
    if line is not None and line == x:
        raise source.wrong((*where, "line"), f"{line} is x already; take another axis of {', '.join(names)}")
    return Plot(name=name, y=y, x=x, line=line, kind=kind)


def _free_axis(x: str | None, cells: tuple[Cell, ...]) -> str | None:
    """The first axis that still varies where x does not; listed cells may have axes that go together."""
    for name in cells[0].labels:
        pairs = {(cell.labels[x] if x else "", cell.labels[name]) for cell in cells}
        if name != x and len(pairs) > len({one for one, _ in pairs}):
            return name
    return None


def _one_of(source: Source, where: Where, written: object, legal: tuple[str, ...]) -> str:
    if not isinstance(written, str) or written not in legal:
        raise source.wrong(where, f"{where[-1]} is {written!r}: it must be one of {', '.join(legal)}")
    return written
