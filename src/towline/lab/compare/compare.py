# SPDX-License-Identifier: GPL-2.0-only
"""A comparison carried out: blocks of every contestant at every loss, in random order, each run kept at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import msgspec

from towline.errors import SettingsError, TowlineError
from towline.lab import leftovers, machine, verify
from towline.lab.bracket import bracketed
from towline.lab.canary import Canary
from towline.lab.compare import comparison, contestants
from towline.lab.compare.comparison import WARM_UP_BYTES, Cell, Compared, Comparison
from towline.lab.compare.contestants import Bout
from towline.lab.emulator import ceiling
from towline.lab.emulator.ceiling import CEILING_SHARE
from towline.lab.emulator.impairments import Impairments
from towline.lab.environments import veth
from towline.lab.journal import Journal
from towline.lab.run import Run, impairments_of
from towline.lab.sweep import design, results
from towline.lab.sweep.headroom import Measure

Record = dict[str, Any]

MTU = 1500
FRAME_BYTES = MTU + 14


@dataclass(frozen=True, kw_only=True)
class Tools:
    """`measure`: one bout, over a path or (None) a pair of its own; `bracket`: that with what stands around it;
    `path`: an emulated path for a block; `ceiling`: of the emulator, see ceiling.measure."""

    measure: Callable[[Bout, veth.Path | None], Record]
    bracket: Callable[[Callable[[], Record]], Record]
    path: Callable[[Impairments], AbstractContextManager[veth.Path]]
    ceiling: Measure


class Onlooker(Protocol):
    """Who watches a comparison."""

    def begin(self, comparison: Comparison, repetition: int | None, what: str) -> None:
        """Something begins, in words; `repetition`: None before the first block."""

    def record(self, comparison: Comparison, record: Mapping[str, Any]) -> None:
        """A run was kept."""

    def resumed(self, comparison: Comparison, finished: set[tuple[int, int]]) -> None:
        """These (repetition, cell) are there from an earlier start."""


@contextmanager
def tools() -> Iterator[Tools]:
    """Those of this machine."""
    with Canary() as canary:
        yield Tools(
            measure=contestants.carry_out,
            bracket=partial(bracketed, canary),
            path=lambda impairments: veth.veth(mtu=MTU, impairments=impairments),
            ceiling=lambda impairments, mtu, frame_bytes: ceiling.measure(
                impairments, mtu=mtu, frame_bytes=frame_bytes
            ),
        )


def check(wanted: Comparison) -> None:
    """Raises SettingsError for what would measure something else than the contestants."""
    asked = _asked(wanted)
    if wanted.settings(0).rate[0] is None and any(way.takes_time() for way in (asked.forward, asked.backward)):
        raise SettingsError(
            "say how fast the path is, for example --rate 200mbit: without a rate, the emulator's own speed would be "
            "what is measured"
        )


def _asked(wanted: Comparison) -> Impairments:
    """What the emulator is told at the first of the losses."""
    return impairments_of(Run(source=wanted.size_bytes, settings=wanted.settings(wanted.losses[0]))) or Impairments()


def compare(wanted: Comparison, folder: Path, given: Tools, onlooker: Onlooker) -> Compared:
    """Carry out a comparison in a folder, or what of it is missing there; returns everything that is there then.

    A run that fails is a result and kept. Raises SettingsError for a folder with another comparison in it and for a
    rate that the emulator cannot pass here, FileError where another process works in the folder, PermissionsError.
    """
    with ExitStack() as stack:
        leftovers.sweep()
        folder.mkdir(parents=True, exist_ok=True)
        records = stack.enter_context(Journal(folder / comparison.RECORDS))
        begun = _open(folder, wanted)
        done = results.finished(comparison.read(folder).records)
        onlooker.resumed(begun, done)
        if len(done) < begun.runs:
            begun = _measure_ceiling(folder, begun, given, onlooker)
            source = stack.enter_context(_source(begun.size_bytes, begun.seed, "file"))
            _warm_up(begun, given, onlooker)
            for repetition in range(begun.repetitions):
                _Block(begun, folder, given, onlooker, records, source, repetition).carry_out()
    return comparison.read(folder)


class _Block:
    def __init__(
        self,
        begun: Comparison,
        folder: Path,
        given: Tools,
        onlooker: Onlooker,
        records: Journal,
        source: Path,
        repetition: int,
    ) -> None:
        self._comparison, self._folder, self._given, self._onlooker = begun, folder, given, onlooker
        self._records, self._source, self._repetition = records, source, repetition

    def carry_out(self) -> None:
        """What is missing of the block, over one emulated path, or over a pair for each run."""
        begun, repetition = self._comparison, self._repetition
        before = comparison.read(self._folder).records
        done, last = results.finished(before), results.last_attempts(before)
        sequence = design.order(begun.seed, range(len(begun.cells)), repetition)
        left = [number for number in sequence if (repetition, number) not in done]
        if not left:
            return
        failed = 0
        with _Wire(begun, self._given) as wire:
            for number in left:
                earlier = last.get((repetition, number))
                first = 0 if earlier is None else earlier["attempt"] + 1
                order = repetition * len(sequence) + sequence.index(number)
                failed += self._until_it_counts(begun.cells[number], wire, order, first)["failed"] is not None
        if failed == len(left) > 1:
            raise TowlineError(f"nothing works: all {failed} runs of a block have failed; {self._folder} says how")

    def _until_it_counts(self, cell: Cell, wire: _Wire, order: int, first: int) -> Record:
        what = f"{cell.contestant.label}, loss {cell.loss:.3g}" if cell.loss else cell.contestant.label
        for attempt in range(first, results.ATTEMPTS_MOST):
            self._onlooker.begin(self._comparison, self._repetition, what + (f", again ({attempt})" if attempt else ""))
            bout = Bout(
                contestant=cell.contestant,
                source=self._source,
                settings=self._comparison.settings(cell.loss),
                emulated=self._comparison.emulated,
                cap_s=self._comparison.cap_s,
                seed=design.run_seed(self._comparison.seed, self._repetition),
                repetition=self._repetition,
            )
            found = self._given.bracket(partial(wire.measure, bout)) | {
                "contestant": cell.contestant.name,
                "path_loss": cell.loss,
                "cell": cell.number,
                "repetition": self._repetition,
                "order": order,
                "attempt": attempt,
            }
            self._records.append(found)
            self._onlooker.record(self._comparison, found)
            if not found["void"]:
                break
        return found


class _Wire:
    """The emulated path of a block, made when it is first needed and again after a failure; none of a clean pair,
    where each run makes its own. A context manager.

    A path for each run would cost 0.8 s of each, a tenth of the whole.
    """

    def __init__(self, begun: Comparison, given: Tools) -> None:
        self._comparison, self._given = begun, given
        self._stack: ExitStack | None = None
        self._path: veth.Path | None = None

    def __enter__(self) -> _Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self._leave()

    def measure(self, bout: Bout) -> Record:
        """One bout."""
        asked = bout.impairments()
        if asked is not None and self._stack is None:
            self._stack = ExitStack()
            self._path = self._stack.enter_context(self._given.path(asked))
        found = self._given.measure(bout, self._path)
        if found["failed"] is not None:
            self._leave()  # whatever went wrong, the next run shall not meet it
        return found

    def _leave(self) -> None:
        stack, self._stack, self._path = self._stack, None, None
        if stack is not None:
            stack.close()


def _measure_ceiling(folder: Path, begun: Comparison, given: Tools, onlooker: Onlooker) -> Comparison:
    """With what the emulator passes; SettingsError where that is not enough for the rate."""
    if not begun.emulated or begun.ceiling_gbps is not None:
        return begun
    onlooker.begin(begun, None, "measuring what the emulator passes")
    passed_gbps = given.ceiling(_asked(begun), MTU, FRAME_BYTES)
    rate_bps = begun.settings(0).rate[0]
    if rate_bps is not None and rate_bps > CEILING_SHARE * passed_gbps * 1e9:
        raise SettingsError(
            f"--rate {begun.path['rate']} is above {CEILING_SHARE:.0%} of what the emulator passes here, "
            f"{passed_gbps:.2f} Gbit/s: the emulator would be measured; at most {CEILING_SHARE * passed_gbps:.2f}gbit"
        )
    begun = msgspec.structs.replace(begun, ceiling_gbps=passed_gbps)
    comparison.write_comparison(folder, begun)
    return begun


def _warm_up(begun: Comparison, given: Tools, onlooker: Onlooker) -> None:
    """A small file by each contestant, which does not count: programs are compiled, modules and tools read."""
    size_bytes = min(WARM_UP_BYTES, begun.size_bytes)
    first = begun.losses[0]
    with _source(size_bytes, begun.seed, "warm-up") as source, _Wire(begun, given) as wire:
        for name in begun.contestants:
            one = begun.all[name]
            onlooker.begin(begun, None, f"warm-up: {one.label}")
            bout = Bout(
                contestant=one,
                source=source,
                settings=begun.settings(first),
                emulated=begun.emulated,
                cap_s=begun.cap_s,
                seed=begun.seed,
            )
            wire.measure(bout)


@contextmanager
def _source(size_bytes: int, seed: int, name: str) -> Iterator[Path]:
    """A file of random bytes, in memory where it fits: read by all, so it is as warm for the first as for the last."""
    with leftovers.temporary_folder(2 * size_bytes) as folder:  # and its copy
        path = folder / name
        with path.open("wb", buffering=0) as file:
            for chunk in verify.source_chunks(size_bytes, seed):
                file.write(chunk)
        yield path


def _open(folder: Path, wanted: Comparison) -> Comparison:
    """The comparison of a folder, which is begun if there is none; more repetitions are allowed."""
    begun = comparison.read_comparison(folder)
    if begun is None:
        found = msgspec.structs.replace(
            wanted,
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            machine=machine.describe() | {"cpus": str(os.cpu_count())},
        )
    else:
        otherwise = _differs(begun, wanted)
        if otherwise:
            raise SettingsError(
                f"{folder} has another comparison in it ({otherwise}): name another folder with --output, or remove "
                "this one"
            )
        found = msgspec.structs.replace(begun, repetitions=wanted.repetitions)
    comparison.write_comparison(folder, found)
    return found


def _differs(begun: Comparison, wanted: Comparison) -> str:
    """What makes it another comparison than this one; "" nothing."""
    for name in ("size_bytes", "cap_s", "path", "losses", "contestants", "seed"):
        if getattr(begun, name) != getattr(wanted, name):
            return f"{name.partition('_')[0]}: {getattr(begun, name)} there, {getattr(wanted, name)} here"
    if begun.repetitions > wanted.repetitions:
        return f"of {begun.repetitions} repetitions, not {wanted.repetitions}"
    here = machine.describe()
    for name in here:
        if begun.machine.get(name) != here[name]:
            return f"from a machine with another {name}"
    return ""
