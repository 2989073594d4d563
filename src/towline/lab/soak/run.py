# SPDX-License-Identifier: GPL-2.0-only
"""A soak: random transfers on several rigs side by side, until there were enough of them or the time is over."""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

from towline.lab.soak.left import Growth, Left
from towline.lab.soak.plan import plan
from towline.lab.soak.rig import Outcome, Rig, rig

RIGS = 3
_SUMS = ("packets", "retransmissions")


@dataclass
class Totals:
    """What came of all transfers so far; `by` counts them by level and datapath."""

    transfers: int = 0
    unconfirmed: int = 0
    file_bytes: int = 0
    sums: Counter[str] = field(default_factory=Counter)
    by: Counter[tuple[str, str]] = field(default_factory=Counter)
    failed: list[Outcome] = field(default_factory=list)
    left: list[str] = field(default_factory=list)  # behind, or in growing workers
    seconds: float = 0.0

    def note(self, outcome: Outcome) -> None:
        """One transfer more."""
        self.transfers += 1
        self.by[outcome.plan.settings.level or "", outcome.plan.datapath] += 1
        if outcome.problem is not None:
            self.failed.append(outcome)
            return
        self.unconfirmed += outcome.unconfirmed
        self.file_bytes += outcome.plan.size_bytes
        self.sums.update({name: outcome.record.get(name) or 0 for name in _SUMS})

    @property
    def good(self) -> bool:
        """No transfer has failed, and nothing is left."""
        return not self.failed and not self.left


def soak(
    seeds: Iterator[int],
    on_outcome: Callable[[Totals, Outcome], None],
    *,
    minutes: float | None = None,
    rigs: int = RIGS,
) -> Totals:
    """Carry out the plans of `seeds`, until there are no more or the time is over.

    `on_outcome` is called after each, in this thread. Raises PermissionsError, UnsupportedError, RunError where there
    can be no rig.
    """
    began = time.monotonic()
    totals, growth, left = Totals(), Growth(), Left()
    with ExitStack() as stack:
        made = [stack.enter_context(rig()) for _ in range(rigs)]
        crew = _Crew(seeds, made, None if minutes is None else began + minutes * 60)
        stack.callback(crew.stop)
        crew.start()
        for number, outcome in crew.outcomes():
            totals.note(outcome)
            for side, over in outcome.held.items():
                if problem := growth.note(f"the {side} of rig {number}", over, last=outcome.replaced):
                    totals.left.append(problem)
            totals.seconds = time.monotonic() - began
            on_outcome(totals, outcome)
    totals.left += growth.all_ended() + left.behind()
    return totals


class _Crew:
    """A thread for each rig: all that it does is to wait for its workers."""

    def __init__(self, seeds: Iterator[int], rigs: list[Rig], deadline: float | None) -> None:
        self._seeds = seeds
        self._deadline = deadline
        self._next = threading.Lock()
        self._stopping = threading.Event()
        self._done: queue.SimpleQueue[tuple[int, Outcome | BaseException | None]] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, args=(number, one), name=f"towline-rig-{number}", daemon=True)
            for number, one in enumerate(rigs)
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """No more transfers; those under way are waited for."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def outcomes(self) -> Iterator[tuple[int, Outcome]]:
        """Rig and outcome as they come, to the last one; raises what a rig has raised."""
        working = len(self._threads)
        while working:
            number, outcome = self._done.get()
            if isinstance(outcome, BaseException):
                raise outcome
            if outcome is None:
                working -= 1
            else:
                yield number, outcome

    def _work(self, number: int, one: Rig) -> None:
        try:
            while not self._stopping.is_set() and (self._deadline is None or time.monotonic() < self._deadline):
                with self._next:
                    seed = next(self._seeds, None)
                if seed is None:
                    break
                self._done.put((number, one.carry_out(plan(seed))))
            one.close()  # here: the workers die with the thread that has started them
            self._done.put((number, None))
        except BaseException as error:  # told to the main thread, which raises it
            self._done.put((number, error))


def seeds(first: int, transfers: int | None) -> Iterator[int]:
    """`first` and those that follow: so many, or (None) without end."""
    return itertools.count(first) if transfers is None else iter(range(first, first + transfers))
