# SPDX-License-Identifier: GPL-2.0-only
"""Replace a program in mid-transfer, and take that back: one link update, whoever holds the link.

Maps, windows and bitmaps are the running program's and stay. The predecessor is kept, pinned, for as long as the link
lives, so that it can come back after the process that swapped has ended.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from towline.bpf import INCLUDE
from towline.errors import SettingsError
from towline.kernel import predecessors
from towline.kernel.attached import Program
from towline.kernel.identity import Identity
from towline.kernel.objects import open_program
from towline.kernel.parking import Parking
from towline.kernel.successor import next_version, prepare, states
from towline.running.places import Place
from towline.running.sessions import Session, sessions

EFFECT_S = 1.0
AT_ONCE_S = 300e-6
BREATH_S = 100e-6


@dataclass(frozen=True, kw_only=True)
class Swapped:
    """What a swap has done, and how long each step took (seconds). `effect_s`: from the link update to the first packet
    that the new program took of a session; None where none came within EFFECT_S."""

    place: Place
    program: int
    version: int
    before: int  # the version that was there
    sessions: tuple[int, ...]
    prepare_s: float  # compile, check, verify
    replace_s: float
    effect_s: float | None


class Swapper:
    """Replaces programs of one place, as often as you like; a context manager, for what is parked meanwhile."""

    def __init__(self, place: Place) -> None:
        """Raises EndedError where the program is gone, PermissionsError."""
        self.place = place
        self._stack = ExitStack()
        try:
            self._parking = self._stack.enter_context(Parking())
            self._programs: dict[int, Program] = {}  # by number, all parked
            self._leave: dict[int, ExitStack] = {}  # by number: what lets go of one
            self._versions: dict[int, int] = {}
            self._states = states(self._running())
        except BaseException:
            self._stack.close()
            raise

    def swap(self, source: Path, *, flags: Sequence[str] = ()) -> Swapped:
        """Compile a program and put it in place; raises what `load` raises, and then nothing has changed.

        Programs other than it and its predecessor are let go: more than 48 do not fit the kernel's XDP dispatcher, and
        are called by a slower way.
        """
        started = time.monotonic()
        before = self._running()
        new = self.load(source, flags=flags)
        swapped = self.put(new, instead_of=before, prepare_s=time.monotonic() - started)
        for number in self._programs.keys() - {new.number, before.number}:
            del self._programs[number]
            self._leave.pop(number).close()
        return swapped

    def rollback(self) -> Swapped:
        """Put the predecessor back in place; SettingsError where there is none."""
        started = time.monotonic()
        previous = self._previous()
        if previous is None:
            raise SettingsError(f"there is no earlier program of {self.place.name} to go back to")
        earlier, running = self._adopted(previous), self._running()
        if earlier is running:
            raise SettingsError(
                f"the program of {self.place.name} from before the last swap runs already: the process that holds it"
                " has taken back what stopped its transfer"
            )
        return self.put(earlier, instead_of=running, prepare_s=time.monotonic() - started)

    def load(self, source: Path, *, flags: Sequence[str] = ()) -> Program:
        """A program that is ready to be put in place; it is this object's.

        Raises CompileError, LoadError and LayoutError.
        """
        previous = self._previous()
        if previous is not None:
            self._adopted(previous)  # its version is taken, too
        running = self._running()
        version = next_version(running, *self._programs.values())
        with prepare(running, source, version, flags=flags, include=(INCLUDE,)) as new:
            return self._adopted(Program(os.dup(new.program(running.name))))

    def put(self, new: Program, *, instead_of: Program | None = None, prepare_s: float = 0.0) -> Swapped:
        """Put a program in place that `load` has returned; `instead_of`: it was made for that one's place only.

        Raises EndedError, and SettingsError where somebody else was quicker; then nothing has changed.
        """
        before, version = instead_of or self._running(), self._versions[new.number]
        numbers = self._states["session"]
        touched = tuple(numbers[numbers != 0].tolist())
        try:
            started, done, effect_s = self._replace(new, before)
            if effect_s is None and touched:
                effect_s = self._effect(version, done, EFFECT_S)
        finally:
            if not self.place.is_there():  # its process has forgotten too early, or was killed
                predecessors.forget(self.place.link)
        return Swapped(
            place=self.place,
            program=new.number,
            version=version,
            before=self._versions[before.number],
            sessions=touched,
            prepare_s=prepare_s,
            replace_s=done - started,
            effect_s=effect_s,
        )

    @property
    def running_version(self) -> int:
        """Of the program that is in place."""
        return self.version_of(self._running())

    def sessions(self) -> list[Session]:
        """Those that are open now. Raises EndedError."""
        return sessions(self._running())

    def version_of(self, program: Program) -> int:
        """Of one that `load` has returned."""
        return self._versions[program.number]

    def close(self) -> None:
        """Let go of what was parked; what is in place stays."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _running(self) -> Program:
        with self.place.attached() as link:
            number = link.program_number
        return self._programs.get(number) or self._adopted(Program(open_program(number)))

    def _replace(self, new: Program, before: Program) -> tuple[float, float, float | None]:
        """The link update, and from here on it can be taken back: when it began, when it was done, and how long it took
        to its effect, if that came at once.
        """
        with (
            predecessors.keeping(self.place.link, before.fd) as keep,
            self.place.attached() as link,  # not for longer: it would outlive the process that it belongs to
        ):
            # Packets may wait for the processor that we run on: give it back first, then take it for the update alone.
            time.sleep(BREATH_S)
            started = time.monotonic()
            try:
                if not link.replace(new.fd, before.fd):
                    raise SettingsError(
                        f"somebody else has put another program in place on {self.place.name} meanwhile, so nothing was"
                        " changed: give the command again"
                    )
                done = time.monotonic()
                effect_s = self._effect(self._versions[new.number], done, AT_ONCE_S)
            finally:
                if link.program_number == new.number:  # also where Ctrl-C came while the kernel was at it
                    keep()
        return started, done, effect_s

    def _previous(self) -> Program | None:
        fd = predecessors.open_previous(self.place.link)
        return None if fd is None else Program(fd)

    def _adopted(self, program: Program) -> Program:
        """The one object of a program, parked."""
        if program.number in self._programs:
            program.close()
            return self._programs[program.number]
        leave = self._stack.enter_context(ExitStack())
        leave.callback(program.close)
        leave.callback(self._parking.park(program.fd))
        self._programs[program.number], self._leave[program.number] = program, leave
        self._versions[program.number] = Identity.of(program).version
        return program

    def _effect(self, version: int, since: float, most_s: float) -> float | None:
        """How long until the first session was taken over; None: longer than that."""
        open_ = self._states["session"] != 0
        while (now := time.monotonic()) < since + most_s:
            if (self._states["served_by"][open_] == version).any():
                return now - since
            time.sleep(20e-6)
        return None
