# SPDX-License-Identifier: GPL-2.0-only
"""A plan carried out: warm-up, then block after block of runs, each kept at once; it goes on where it was stopped."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from towline.errors import TowlineError
from towline.lab import leftovers
from towline.lab.arrow import arrow
from towline.lab.journal import Journal
from towline.lab.plans.plan import Cell, Plan
from towline.lab.run import Run
from towline.lab.sweep import design, results, series
from towline.lab.sweep.bench import Bench, Record, carry_out
from towline.lab.sweep.design import Design
from towline.lab.sweep.folder import changed, open_folder
from towline.lab.sweep.headroom import Headroom
from towline.lab.sweep.results import Results
from towline.lab.sweep.standing import Onlooker, Standing, label
from towline.lab.sweep.warm_up import warm_up

WARM_UP_TRIES = 3  # one that fails may have met a bad chance
IN_A_ROW_LEAST = 3  # so many failures, of all cells, are no result but a fault of the whole


def sweep(plan: Plan, folder: Path, bench: Bench, onlooker: Onlooker, *, quick: bool = False) -> Results:
    """Carry out a plan in a folder, or what of it is missing there; returns everything that is there then.

    A run that fails, or that the kernel refuses, is a result and kept. Raises SettingsError for a folder with another
    sweep in it, FileError where another process works in it, PermissionsError, and RunError where nothing works.
    """
    with ExitStack() as stack:
        arrow()  # not to be missed at the end
        leftovers.sweep()
        folder.mkdir(parents=True, exist_ok=True)
        records = stack.enter_context(Journal(folder / results.RECORDS))
        told = stack.enter_context(Journal(folder / results.SERIES))
        begun = open_folder(folder, plan, quick=quick)
        _Sweep(plan, folder, begun, bench, onlooker, records, told).carry_out()
    return results.gather(folder)


class _Sweep:
    def __init__(
        self,
        plan: Plan,
        folder: Path,
        begun: Design,
        bench: Bench,
        onlooker: Onlooker,
        records: Journal,
        told: Journal,
    ) -> None:
        self._plan, self._folder, self._design = plan, folder, begun
        self._bench, self._onlooker = bench, onlooker
        self._records, self._told = records, told
        self._last = results.last_attempts(results.read(folder).records)
        self._finished = results.finished(self._last.values())
        self._standing = Standing(plan=plan, folder=folder)
        self._in_a_row: list[int] = []  # cells whose last runs, one behind the other, have failed

    def carry_out(self) -> None:
        """Everything that is missing."""
        standing = self._standing
        for one in results.read(self._folder).records:
            standing.count(one)
        standing.runs = len(self._runnable()) * self._plan.repetitions
        standing.finished = standing.before = len(self._finished)
        standing.whole_s = design.estimate_s(self._plan) * (1 - standing.before / max(standing.runs, 1))
        if standing.finished < standing.runs or not standing.runs:
            self._prepare()
            standing.runs = len(self._runnable()) * self._plan.repetitions
            for repetition in range(self._plan.repetitions):
                self._block(repetition)

    # ---- before the first block

    def _prepare(self) -> None:
        """Ceilings, refusals and sizes; they are kept as soon as they are known."""
        headroom = Headroom(self._plan.cells, self._bench.ceiling) if self._plan.emulated else None
        if headroom is not None and self._design.ceiling_gbps is None:
            self._measure_ceilings(headroom)
        missing = [cell for cell in self._runnable() if cell.number not in self._design.sizes]
        for cell in missing:
            self._warm_up(cell, headroom)
        if not self._runnable():
            why = next(iter(self._design.refused.values()))
            raise TowlineError(f"no cell of {self._plan.path} can be run, the first because {why}")
        if not missing:  # it was begun earlier: the machine may have done something else since
            first = self._runnable()[0]
            self._onlooker.begin(self._standing, f"warm-up: {label(first)}")
            self._try(first, self._design.sizes[first.number])

    def _measure_ceilings(self, headroom: Headroom) -> None:
        for cell in headroom.kinds():
            self._onlooker.begin(self._standing, "measuring what the emulator passes")
            headroom.ceiling_gbps(cell)
        self._standing.done_s += design.CEILING_S
        cells = self._plan.cells
        refused = {cell.number: why for cell in cells if (why := headroom.asked_too_much(cell))}
        self._change(
            ceiling_gbps=headroom.lowest_gbps(),
            ceilings={cell.number: headroom.ceiling_gbps(cell) for cell in cells},
            refused=self._design.refused | refused,
        )

    def _warm_up(self, cell: Cell, headroom: Headroom | None) -> None:
        self._onlooker.begin(self._standing, f"warm-up: {label(cell)}")
        size_bytes, last = warm_up(cell, self._plan.duration_us, lambda size_bytes: self._try(cell, size_bytes))
        self._give_up_if_nothing_works(last, cell)
        why = last["refused"] or last["failed"]
        if why is None and headroom is not None:
            why = headroom.reached_too_much(cell, last)
        if why is not None:
            self._change(refused=self._design.refused | {cell.number: why})
        else:
            self._change(sizes=self._design.sizes | {cell.number: size_bytes})
        self._standing.done_s += design.warm_up_s(self._plan, cell)

    def _try(self, cell: Cell, size_bytes: int) -> Record:
        """A run that does not count."""
        plan = self._run(cell, size_bytes, repetition=0)
        for _ in range(WARM_UP_TRIES):
            found = carry_out(self._bench, plan, lambda event: None)
            if found["failed"] is None:
                break
        return found

    def _runnable(self) -> list[Cell]:
        return [cell for cell in self._plan.cells if cell.number not in self._design.refused]

    def _change(self, **fields: Any) -> None:
        self._design = changed(self._folder, self._design, **fields)

    # ---- the runs

    def _block(self, repetition: int) -> None:
        cells = [cell.number for cell in self._runnable()]
        sequence = design.order(self._design.seed, cells, repetition)
        if all((repetition, number) in self._finished for number in sequence):
            return
        for position, number in enumerate(sequence):
            if (repetition, number) not in self._finished:
                self._until_it_counts(self._plan.cells[number], repetition, repetition * len(cells) + position)
        self._onlooker.block(self._standing, repetition)

    def _until_it_counts(self, cell: Cell, repetition: int, order: int) -> None:
        earlier = self._last.get((repetition, cell.number))
        first = 0 if earlier is None else earlier["attempt"] + 1
        what = f"block {repetition + 1} of {self._plan.repetitions}: {label(cell)}"
        for attempt in range(first, results.ATTEMPTS_MOST):
            self._onlooker.begin(self._standing, what + (f", again ({attempt})" if attempt else ""))
            kept = self._keep(cell, repetition, order, attempt)
            if not kept["void"]:
                break
        self._standing.finished += 1
        self._standing.done_s += design.run_s(self._plan, cell)
        self._give_up_if_nothing_works(kept, cell)

    def _keep(self, cell: Cell, repetition: int, order: int, attempt: int) -> Record:
        plan = self._run(cell, self._design.sizes[cell.number], repetition)
        seen = series.Series()
        found = self._bench.bracket(lambda: carry_out(self._bench, plan, seen))
        found |= {
            "plan": self._plan.name,
            "cell": cell.number,
            "attempt": attempt,
            "repetition": repetition,
            "order": order,
            "seed": plan.seed,
        }
        # The series first: it is that of no run until the record is there, and a record is never without it.
        number = results.run_number(order, attempt)
        self._told.append(seen.line(run=number, repetition=repetition, cell=cell.number, attempt=attempt))
        self._records.append(found)
        self._standing.count(found)
        self._onlooker.record(self._standing, found)
        return found

    def _run(self, cell: Cell, size_bytes: int, repetition: int) -> Run:
        return Run(
            source=size_bytes,
            settings=cell.settings,
            seed=design.run_seed(self._design.seed, repetition),
            repetition=repetition,
            emulated=self._plan.emulated,
            statistics=self._plan.program_statistics,
        )

    def _give_up_if_nothing_works(self, last: Mapping[str, Any], cell: Cell) -> None:
        if last["failed"] is None:
            self._in_a_row.clear()
            return
        self._in_a_row.append(cell.number)
        cells = len(self._plan.cells)
        worked = bool(self._design.sizes)
        if len(self._in_a_row) >= (max(IN_A_ROW_LEAST, cells) if worked else min(IN_A_ROW_LEAST, cells)):
            failed = set(self._in_a_row)  # when its cause is gone they may work: they are not refused for ever
            self._change(refused={one: why for one, why in self._design.refused.items() if one not in failed})
            raise TowlineError(
                f"nothing works: {len(self._in_a_row)} runs in a row have failed, the last: {last['failed']}"
            )
