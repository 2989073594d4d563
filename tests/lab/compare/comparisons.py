# SPDX-License-Identifier: GPL-2.0-only
"""Comparisons without a kernel: tools whose bouts are made up, and who watches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from towline.lab.compare.compare import Tools, compare
from towline.lab.compare.comparison import Compared, Comparison
from towline.lab.compare.contestants import Bout
from towline.lab.emulator.impairments import Impairments
from towline.lab.environments import veth

Record = dict[str, Any]

MBPS = {"towline": 190.0, "tcp-cubic": 95.0, "udp": 180.0}  # goodput of a good run
LOSSES = (0.0, 0.01)
BLOCKS = 6


def wanted(**fields: Any) -> Comparison:
    """Three contestants at two losses."""
    known: dict[str, Any] = {
        "seed": 7,
        "repetitions": BLOCKS,
        "size_bytes": 1 << 20,
        "cap_s": 20.0,
        "path": {"rate": "200mbit", "delay": "20ms"},
        "losses": LOSSES,
        "contestants": tuple(MBPS),
        "missing": {"scp": "scp is not installed (Debian: apt install openssh-client)"},
    }
    return Comparison(**(known | fields))


def made_up(bout: Bout, **fields: Any) -> Record:
    """The record of a good bout: a block more is a hundredth faster."""
    name = bout.contestant.name
    known = {
        "tool": f"{name} 1.0",
        "seconds": 1.0,
        "goodput_gbps": MBPS[name] / 1000 * (1 + bout.repetition / 100),
        "cpu_seconds_per_gib": 2.0,
        "measured_loss_forward": bout.settings.loss[0],
        "verified": True if bout.contestant.delivers_file else None,
        "failed": None,
        "capped": False,
        "lost": 0.05 if name == "udp" else None,
        "void": False,
        "void_reason": None,
        "seed": bout.seed,
    }
    return known | fields


@dataclass
class FakeTools:
    """Writes down what it is asked for; `answer` makes a record, or raises, from the bout and its number from 0,
    warm-up included."""

    answer: Callable[[Bout, int], Record] = lambda bout, number: made_up(bout)
    ceiling_gbps: float = 2.0
    bouts: list[Bout] = field(default_factory=list)
    paths: list[Impairments] = field(default_factory=list)  # that were made
    open_paths: int = 0
    without_path: int = 0
    brackets: int = 0

    def measure(self, bout: Bout, path: veth.Path | None) -> Record:
        self.bouts.append(bout)
        self.without_path += path is None
        return self.answer(bout, len(self.bouts) - 1)

    def bracket(self, carry_out: Callable[[], Record]) -> Record:
        self.brackets += 1
        return carry_out() | {"canary": 0.01}

    @contextmanager
    def path(self, impairments: Impairments) -> Iterator[veth.Path]:
        self.paths.append(impairments)
        self.open_paths += 1
        end = veth.End(namespace="none", interface="none", mac="02:00:00:00:00:01")
        try:
            yield veth.Path(sender=end, receiver=end, mtu=1500)
        finally:
            self.open_paths -= 1

    def ceiling(self, impairments: Impairments, mtu: int, frame_bytes: int) -> float:
        return self.ceiling_gbps

    def tools(self) -> Tools:
        return Tools(measure=self.measure, bracket=self.bracket, path=self.path, ceiling=self.ceiling)


@dataclass
class Watching:
    """Writes down what it is told."""

    began: list[str] = field(default_factory=list)
    records: list[Mapping[str, Any]] = field(default_factory=list)
    finished: set[tuple[int, int]] = field(default_factory=set)

    def begin(self, comparison: Comparison, repetition: int | None, what: str) -> None:
        self.began.append(what)

    def record(self, comparison: Comparison, record: Mapping[str, Any]) -> None:
        self.records.append(record)

    def resumed(self, comparison: Comparison, finished: set[tuple[int, int]]) -> None:
        self.finished = finished


def carried_out(folder: Path, fake: FakeTools, watching: Watching | None = None, **fields: Any) -> Compared:
    """A comparison with fake tools."""
    return compare(wanted(**fields), folder, fake.tools(), watching or Watching())
