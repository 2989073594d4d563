# SPDX-License-Identifier: GPL-2.0-only
"""A comparison: what was decided for it, its folder, and what its runs have shown."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from towline.errors import FileError, SettingsError
from towline.lab import journal
from towline.lab.compare.contestants import OURS, Contestant, contestants
from towline.lab.statistics import Interval, Ratio, median_interval, paired_ratio
from towline.lab.sweep import results
from towline.quantities import format_duration, format_share, format_size
from towline.settings import Settings, option_of
from towline.settings_text import parse_setting

COMPARISON, RECORDS = "comparison.json", results.RECORDS
OVERHEAD_S = 1.2  # of a run besides its transfer: processes, canaries, the load beforehand
WIRE_S = 0.8  # to make an emulated path
CEILING_S = 5.0
WARM_UP_BYTES = 1 << 20
SEGMENT_BYTES = 1448  # of TCP at an MTU of 1500
_MATHIS = 1.22  # sqrt(3/2)
_FASTEST_BPS = 5e9


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One contestant at one loss; `number` counts them, all contestants of the first loss first."""

    number: int
    loss: float
    contestant: Contestant


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for a comparison, kept in its folder, so that one that is started again goes on with the same.

    `path`: impairments but for loss, setting -> as people write it; `losses`: shares, each met both ways;
    `contestants`: names, in the order of tables; `only`: those that were asked for, () all; `missing`: name -> why.
    """

    seed: int
    repetitions: int
    size_bytes: int
    cap_s: float
    path: dict[str, str]
    losses: tuple[float, ...]
    contestants: tuple[str, ...]
    only: tuple[str, ...] = ()
    missing: dict[str, str] = {}
    started: str = ""
    machine: dict[str, str | None] = {}
    ceiling_gbps: float | None = None

    @property
    def emulated(self) -> bool:
        """Whether an emulator stands in the path: then all runs cross it, those without loss, too."""
        return bool(self.path) or any(self.losses)

    @property
    def all(self) -> dict[str, Contestant]:
        """Everybody who could take part in it, by name."""
        return contestants(emulated=self.emulated, told="rate" in self.path)

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Everything that a block has."""
        found = self.all
        pairs = [(loss, found[name]) for loss in self.losses for name in self.contestants]
        return tuple(Cell(number=number, loss=loss, contestant=one) for number, (loss, one) in enumerate(pairs))

    @property
    def runs(self) -> int:
        """How many there are, none repeated."""
        return len(self.losses) * len(self.contestants) * self.repetitions

    def settings(self, loss: float) -> Settings:
        """The path's impairments at a loss."""
        said = {name: parse_setting(name, text) for name, text in self.path.items()}
        return Settings(**said, loss=(loss, loss))

    def expected_s(self, cell: Cell) -> float:
        """About how long a run takes, with everything around it."""
        settings = self.settings(cell.loss)
        bounds = [cell.contestant.guess_gbps * 1e9]
        if settings.rate[0] is not None:
            bounds.append(settings.rate[0])
        round_trip_s = sum(settings.delay) / 1e6
        if cell.contestant.loss_slows and cell.loss and round_trip_s:
            bounds.append(mathis_bps(cell.loss, round_trip_s))
        transfer_s = min(self.cap_s, 8 * self.size_bytes / min(bounds) + 4 * round_trip_s)
        return OVERHEAD_S + transfer_s

    def estimate_s(self) -> float:
        """About how long the whole will take, with warm-up, if no run is void."""
        return self._around_s() + self.repetitions * sum(self.expected_s(cell) for cell in self.cells)

    def longest_s(self) -> float:
        """The same if every yardstick is stopped at the cap each time: towline and UDP are told how fast to be."""
        longest = (
            self.expected_s(cell) if cell.contestant.is_told and "rate" in self.path else OVERHEAD_S + self.cap_s
            for cell in self.cells
        )
        return self._around_s() + self.repetitions * sum(longest)

    def _around_s(self) -> float:
        wires = self.repetitions if self.emulated else self.runs
        return WIRE_S * wires + 2 * len(self.contestants) + (CEILING_S if self.emulated else 0)

    def command(self) -> str:
        """The command that makes the same again."""
        options = {
            "size": format_size(self.size_bytes),
            **{option_of(name): text for name, text in self.path.items()},
            "loss": ",".join(map(format_share, self.losses)),
            "repetitions": str(self.repetitions),
            "cap": format_duration(round(self.cap_s * 1e6)),
            **({"only": ",".join(self.only)} if self.only else {}),
            "seed": str(self.seed),
        }
        return shlex.join(["towline", "lab", "compare", *(f"--{name}={text}" for name, text in options.items())])

    def conditions(self) -> str:
        """The path in words."""
        said = [_WORDS[name].format(text) for name, text in self.path.items()]
        return ", ".join(said) or ("an emulator that does nothing but lose" if self.emulated else "a clean veth pair")


_WORDS: Mapping[str, str] = {
    "rate": "{}",
    "delay": "{} each way",
    "jitter": "jitter {}",
    "queue": "queue {}",
    "loss_burst": "bursts of {} losses",
    "corrupt": "{} corrupt",
    "duplicate": "{} twice",
    "reorder": "{} overtaken",
}


def mathis_bps(loss: float, round_trip_s: float) -> float:
    """What a sender of Reno's kind reaches that takes losses for congestion, in bit/s; CUBIC is no faster where the
    round trip is short or the window small (Mathis, Semke, Mahdavi, Ott, CCR 27(3), 1997; RFC 9438, 4.3)."""
    return _MATHIS * SEGMENT_BYTES * 8 / (round_trip_s * math.sqrt(loss))


def counts(record: Mapping[str, Any]) -> bool:
    """Whether a run may stand in a table: not void, and it did not fail. A capped one may."""
    return not record["void"] and record["failed"] is None and record["goodput_gbps"] is not None


@dataclass(frozen=True, kw_only=True)
class Compared:
    """What a comparison has found so far. `records`: all attempts, in the order in which they were made."""

    folder: Path
    comparison: Comparison
    records: list[dict[str, Any]]

    @cached_property
    def counted(self) -> dict[int, list[dict[str, Any]]]:
        """Cell -> one record for each repetition: its last attempt, if that counts."""
        found: dict[int, list[dict[str, Any]]] = {cell.number: [] for cell in self.comparison.cells}
        for one in results.last_attempts(self.records).values():
            if counts(one) and one["repetition"] < self.comparison.repetitions:
                found[one["cell"]].append(one)
        return found

    def values(self, cell: Cell, field: str) -> dict[int, float]:
        """Repetition -> a figure of the record, where it is known."""
        return {one["repetition"]: one[field] for one in self.counted[cell.number] if one.get(field) is not None}

    def median(self, cell: Cell, field: str) -> Interval | None:
        """Of all repetitions; None where nothing is known."""
        found = list(self.values(cell, field).values())
        return median_interval(found) if found else None

    def ratio(self, cell: Cell) -> Ratio | None:
        """How many times a contestant's goodput towline's is at the same loss, paired by block; None: unknown."""
        ours = next((one for one in self.at(cell.loss) if one.contestant.name == OURS), None)
        if ours is None or ours == cell:
            return None
        return paired_ratio(self.values(ours, "goodput_gbps"), self.values(cell, "goodput_gbps"))

    def at(self, loss: float) -> list[Cell]:
        """All contestants at a loss."""
        return [cell for cell in self.comparison.cells if cell.loss == loss]

    def capped(self, cell: Cell) -> int:
        """How many of the runs that count were stopped by the clock."""
        return sum(bool(one["capped"]) for one in self.counted[cell.number])

    def voids(self) -> list[dict[str, Any]]:
        """All attempts that were void."""
        return [one for one in self.records if one["void"]]

    def failures(self) -> list[dict[str, Any]]:
        """All attempts that failed and were not void."""
        return [one for one in self.records if one["failed"] is not None and not one["void"]]


def read(folder: Path) -> Compared:
    """What is in a folder, also while the comparison goes on; SettingsError where none was begun there."""
    begun = read_comparison(folder)
    if begun is None:
        raise SettingsError(f"{folder} has no {COMPARISON}: `towline lab compare` makes such folders")
    return Compared(folder=folder, comparison=begun, records=list(journal.lines(folder / RECORDS)))


def read_comparison(folder: Path) -> Comparison | None:
    """What was decided in a folder; None: nothing was begun there."""
    path = folder / COMPARISON
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=Comparison)
    except msgspec.DecodeError as error:
        raise FileError(path, f"is damaged ({error}): remove the folder, or take another --output") from None


def write_comparison(folder: Path, comparison: Comparison) -> None:
    """Whole or not at all: whoever is killed meanwhile leaves the one before."""
    path = folder / COMPARISON
    new = path.with_suffix(".new")
    new.write_bytes(msgspec.json.format(msgspec.json.encode(comparison), indent=2) + b"\n")
    new.replace(path)
