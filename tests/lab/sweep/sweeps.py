# SPDX-License-Identifier: GPL-2.0-only
"""Sweeps without a kernel: a plan, a bench whose runs are made up, and who watches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from towline.lab import record
from towline.lab.emulator.impairments import Impairments
from towline.lab.plans import plan
from towline.lab.run import Run
from towline.lab.sweep.bench import Bench
from towline.lab.sweep.results import Results
from towline.lab.sweep.standing import Standing
from towline.lab.sweep.sweep import sweep
from towline.transfer.events import OnEvent, Sample

Record = dict[str, Any]

TEXT = """# plans/tiny.toml: does acknowledging less often help?
size = "1M"
repetitions = 3
seed = 7
[settings]
sink = "memory"
[axes]
ack_every = [1, 4]
lanes = [1, 2]
"""
CELLS, BLOCKS = 4, 3


class Stopped(BaseException):
    """In place of kill -9: nothing of ours runs after it."""


def made_up(run: Run, **fields: Any) -> Record:
    """The record of a good run of a second."""
    known = {
        "environment": "veth",
        "level": "ethernet",
        "seed": run.seed,
        "file_bytes": run.source_bytes,
        "repetition": run.repetition,
        "seconds": 1.0,
        "packets_sent": 1000,
        "packets": 1000,
        "verified": True,
        "void": False,
    }
    return record.merge(run.settings.record_fields(), {}, {}, known | fields)


@dataclass
class FakeBench:
    """Counts what it is asked for; `answer` makes a record, or raises, from the run and its number from 0."""

    answer: Callable[[Run, int], Record] = lambda run, number: made_up(run)
    ceiling_gbps: float = 10.0
    runs: list[Run] = field(default_factory=list)
    ceilings: list[Impairments] = field(default_factory=list)
    brackets: int = 0

    def run(self, run: Run, on_event: OnEvent) -> Record:
        self.runs.append(run)
        for at_us in (0, 50_000):
            on_event(Sample(side="receiver", at_us=1_000_010 + at_us, done_bytes=at_us))
            on_event(Sample(side="sender", at_us=1_000_000 + at_us, done_bytes=at_us, packets_sent=1))
        return self.answer(run, len(self.runs) - 1)

    def bracket(self, carry_out: Callable[[], Record]) -> Record:
        self.brackets += 1
        return carry_out() | {"canary": 0.01}

    def ceiling(self, impairments: Impairments, mtu: int, frame_bytes: int) -> float:
        self.ceilings.append(impairments)
        return self.ceiling_gbps

    def bench(self) -> Bench:
        return Bench(run=self.run, bracket=self.bracket, ceiling=self.ceiling)


@dataclass
class Watching:
    """Writes down what it is told."""

    began: list[str] = field(default_factory=list)
    records: list[Mapping[str, Any]] = field(default_factory=list)
    blocks: list[int] = field(default_factory=list)
    last: Standing | None = None

    def begin(self, standing: Standing, what: str) -> None:
        self.last = standing
        self.began.append(what)

    def record(self, standing: Standing, record: Mapping[str, Any]) -> None:
        self.records.append(record)

    def block(self, standing: Standing, repetition: int) -> None:
        self.blocks.append(repetition)


def carried_out(
    folder: Path, fake: FakeBench, *, text: str = TEXT, watching: Watching | None = None, **options: Any
) -> Results:
    """A sweep of a plan's text with a fake bench."""
    quick = options.get("quick", False)
    found = plan.parse(text, "plans/tiny.toml", **options)
    return sweep(found, folder, fake.bench(), watching or Watching(), quick=quick)
