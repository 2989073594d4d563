# SPDX-License-Identifier: GPL-2.0-only
"""What a person sees while a sweep goes on: a bar with the time left, or a line for each block."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from towline.cli.screen import print_json, printable
from towline.lab.plans.plan import Plan
from towline.lab.sweep.results import Results
from towline.lab.sweep.standing import Record, Standing, label

TOLD_MOST = 10  # lines for runs that broke a promise


class SweepScreen:
    """An onlooker of one sweep, on stderr; a context manager, because of the bar. `json`: records go to stdout."""

    def __init__(self, plan: Plan, *, json: bool) -> None:
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._plan, self._json = plan, json
        self._began = time.monotonic()
        self._standing: Standing | None = None
        columns = (
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
            TextColumn("{task.description}"),
        )
        self._bar = Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal)
        self._task = self._bar.add_task("", total=None, left="")

    def __enter__(self) -> SweepScreen:
        self._say(f"{self._plan.name}: {self._plan.question}")
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def begin(self, standing: Standing, what: str) -> None:
        """Something begins."""
        if self._standing is None and standing.before:
            self._say(f"{standing.before} of {standing.runs} runs are there from an earlier start; the rest follows")
        self._standing = standing
        self._show(standing, what)

    def record(self, standing: Standing, record: Record) -> None:
        """A run was kept."""
        if self._json:
            print_json(record)
        if record["failed"] is not None:
            cell = label(self._plan.cells[record["cell"]])
            self._say(f"{self._plan.name}, {cell}: failed: {record['failed']}", "red")

    def block(self, standing: Standing, repetition: int) -> None:
        """A block is over."""
        if not self.console.is_terminal:
            self._say(
                f"{self._plan.name}: block {repetition + 1} of {self._plan.repetitions}, {self._sofar(standing)}, "
                f"{self._left(standing)}"
            )

    def stopped(self, folder: Path, again: str) -> None:
        """Somebody ended it."""
        self._bar.stop()
        done = self._sofar(self._standing) if self._standing else "nothing done yet"
        self._say(f"stopped: {done}; what there is stands in {folder}. To go on: {again}")

    def summary(self, results: Results) -> None:
        """What came of it, and what to do next."""
        wrong = [one for one in results.records if one["accounting"] is not None]
        for one in wrong[:TOLD_MOST]:
            cell = label(results.plan.cells[one["cell"]])
            self._say(f"the counters do not add up, block {one['repetition'] + 1}, {cell}: {one['accounting']}", "red")
        if len(wrong) > TOLD_MOST:
            self._say(f"... and in {len(wrong) - TOLD_MOST} more runs", "red")
        for number, why in results.design.refused.items():
            self._say(f"not run: {label(results.plan.cells[number])}: {why}", "yellow")
        for kind, colour, runs in (("failed", "red", _failed(results)), ("void", "yellow", results.voids())):
            reasons = Counter(one["failed"] if kind == "failed" else one["void_reason"] for one in runs)
            if runs:
                self._say(
                    f"{len(runs)} of {len(results.records)} runs {kind}, such as: {reasons.most_common(1)[0][0]}",
                    colour,
                )
        self._say(f"{len(results.records)} records in {results.folder}; now: towline lab report {results.folder}")

    def _show(self, standing: Standing, what: str) -> None:
        self._bar.update(
            self._task,
            description=f"{what}{_trouble(standing)}",
            completed=standing.finished,
            total=standing.runs or None,
            left=self._left(standing),
        )

    def _left(self, standing: Standing) -> str:
        return f"about {human(standing.left_s(time.monotonic() - self._began))} left"

    def _sofar(self, standing: Standing) -> str:
        return f"{standing.finished} of {standing.runs} runs{_trouble(standing)}"

    def _say(self, text: str, colour: str = "") -> None:
        self.console.print(Text(printable(text), style=colour))


def _failed(results: Results) -> list[dict[str, object]]:
    return [one for one in results.records if one["failed"] is not None]


def _trouble(standing: Standing) -> str:
    counts = (("void", standing.voids), ("failed", standing.failed), ("not adding up", standing.violations))
    return "".join(f", {count} {name}" for name, count in counts if count)


def human(seconds: float) -> str:
    """A time to plan one's evening by."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{round(seconds)} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
