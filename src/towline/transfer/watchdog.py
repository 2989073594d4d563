# SPDX-License-Identifier: GPL-2.0-only
"""Watches the program on an interface: tells when another has taken its place, and takes back one that does harm."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Protocol, Self

from towline.kernel.attach import Link, replace_program
from towline.kernel.attached import Program
from towline.kernel.identity import Identity
from towline.kernel.objects import link_info, open_program, program_info
from towline.protocol.trial import PATIENCE_US, Trial, Verdict
from towline.transfer.events import OnEvent, Replaced, RolledBack, Side
from towline.transfer.sampling import Ticks

LOOK_US = 50_000


class Replaceable(Protocol):
    """What has a program on an interface; both are None where ordinary sockets do the work."""

    program: int | None
    link: Link | None

    def recover(self) -> None:
        """Undo what a program may have left in the sessions' memory that stops its successor."""


class Watchdog:
    """`look` often: it does something every LOOK_US."""

    def __init__(self, watched: Replaceable, side: Side, on_event: OnEvent, now: int) -> None:
        self._watched = watched
        self._side = side
        self._on_event = on_event
        self._ticks = Ticks(LOOK_US)
        self.version: int | None = None  # of the program that is there; None: there is none
        self._proven: int | None = None  # a descriptor
        if watched.program is not None:
            self.version = _identity_of(os.dup(watched.program)).version
            self._proven = os.dup(watched.program)
            self._trial = Trial(program_info(watched.program).id, now)

    def look(self, progress: int | None, now: int) -> None:
        """`progress`: as in Trial.look."""
        link = self._watched.link
        if link is None or not self._ticks.due(now):
            return
        number = int(link_info(link.fd).prog_id)
        match self._trial.look(number, progress, now):
            case Verdict.REPLACED:
                self._replaced(number)
            case Verdict.PROVEN:
                self._keep(open_program(number))
            case Verdict.FAILED:
                self._roll_back(link)

    def close(self) -> None:
        """Let go of the program to go back to."""
        if self._proven is not None:
            os.close(self._proven)
            self._proven = None

    def _replaced(self, number: int) -> None:
        try:
            said = _identity_of(open_program(number))
        except FileNotFoundError:  # by a third one, meanwhile
            return
        self.version = said.version
        self._on_event(Replaced(side=self._side, program=number, version=said.version, source=said.source))

    def _keep(self, fd: int) -> None:
        self.close()
        self._proven = fd

    def _roll_back(self, link: Link) -> None:
        assert self._proven is not None
        said = _identity_of(os.dup(self._proven))
        self.version = said.version
        replace_program(link.fd, self._proven)  # returns when nobody runs the other one any more
        self._watched.recover()
        self._on_event(
            RolledBack(
                side=self._side,
                program=self._trial.proven,
                version=said.version,
                source=said.source,
                stalled_seconds=PATIENCE_US / 1e6,
            )
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _identity_of(fd: int) -> Identity:
    """Closes the descriptor."""
    with Program(fd) as program:
        return Identity.of(program)
