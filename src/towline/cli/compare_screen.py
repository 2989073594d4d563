# SPDX-License-Identifier: GPL-2.0-only
"""What a person sees while a comparison goes on: a bar with the time left, or a line for each block."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from towline.cli.screen import print_json, printable
from towline.cli.sweep_screen import human
from towline.lab.compare.comparison import Compared, Comparison
from towline.lab.sweep import results


class CompareScreen:
    """An onlooker of one comparison, on stderr; a context manager, because of the bar. `json`: records to stdout."""

    def __init__(self, *, json: bool) -> None:
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._json = json
        self._finished: set[tuple[int, int]] = set()
        self._took: defaultdict[int, list[float]] = defaultdict(list)  # by cell: seconds from begin to record
        self._began = time.monotonic()
        self._repetition: int | None = None
        self._runs = 0
        self._voids = self._failures = 0
        columns = (
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
            TextColumn("{task.description}"),
        )
        self._bar = Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal)
        self._task = self._bar.add_task("", total=None, left="")

    def __enter__(self) -> CompareScreen:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def resumed(self, comparison: Comparison, finished: set[tuple[int, int]]) -> None:
        """These are there from an earlier start."""
        self._finished = set(finished)
        self._runs = comparison.runs
        if finished:
            self._say(f"{len(finished)} of {comparison.runs} runs are there from an earlier start; the rest follows")

    def begin(self, comparison: Comparison, repetition: int | None, what: str) -> None:
        """Something begins."""
        self._began = time.monotonic()
        left = f"about {human(self.left_s(comparison))} left"
        if repetition is not None and repetition != self._repetition and not self.console.is_terminal:
            self._say(f"block {repetition + 1} of {comparison.repetitions}, {self._sofar()}, {left}")
        self._repetition = repetition
        where = "" if repetition is None else f"block {repetition + 1} of {comparison.repetitions}: "
        self._bar.update(
            self._task,
            description=f"{where}{what}{self._trouble()}",
            completed=len(self._finished),
            total=comparison.runs,
            left=left,
        )

    def record(self, comparison: Comparison, record: Mapping[str, Any]) -> None:
        """A run was kept."""
        self._took[record["cell"]].append(time.monotonic() - self._began)
        if not record["void"] or record["attempt"] + 1 >= results.ATTEMPTS_MOST:
            self._finished.add((record["repetition"], record["cell"]))
        self._voids += bool(record["void"])
        if self._json:
            print_json(record)
        if record["failed"] is not None:
            self._failures += 1
            cell = comparison.cells[record["cell"]]
            self._say(f"{cell.contestant.label}, loss {cell.loss:g}: failed: {record['failed']}", "red")

    def left_s(self, comparison: Comparison) -> float:
        """About how long it will still take: what has been seen of a contestant at a loss counts, else the estimate."""
        found = 0.0
        for cell in comparison.cells:
            seen = self._took[cell.number]
            each_s = sum(seen) / len(seen) if seen else comparison.expected_s(cell)
            found += each_s * sum(
                (repetition, cell.number) not in self._finished for repetition in range(comparison.repetitions)
            )
        return found

    def stopped(self, folder: Path) -> None:
        """Somebody ended it."""
        self._bar.stop()
        self._say(f"stopped: {self._sofar()}; what there is stands in {folder}. The same command again goes on")

    def summary(self, found: Compared, page: Path) -> None:
        """What does not count, and where everything is."""
        for name, runs, reason in (("void", found.voids(), "void_reason"), ("failed", found.failures(), "failed")):
            if runs:
                most = Counter(one[reason] for one in runs).most_common(1)[0][0]
                self._say(f"{len(runs)} of {len(found.records)} runs {name}, such as: {most}", "yellow")
        self._say(f"{len(found.records)} records in {found.folder}, the page is {page}")

    def _sofar(self) -> str:
        return f"{len(self._finished)} of {self._runs} runs{self._trouble()}"

    def _trouble(self) -> str:
        counts = (("void", self._voids), ("failed", self._failures))
        return "".join(f", {count} {name}" for name, count in counts if count)

    def _say(self, text: str, colour: str = "") -> None:
        self.console.print(Text(printable(text), style=colour))
