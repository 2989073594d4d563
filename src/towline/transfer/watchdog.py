# SPDX-License-Identifier: GPL-2.0-only
"""Watches the program on an interface: tells when another has taken its place, and takes back one that does harm."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Protocol, Self

from towline.errors import PermissionsError
from towline.kernel.attach import Link
from towline.kernel.attached import Program
from towline.kernel.identity import Identity
from towline.kernel.objects import link_info, open_program, program_info
from towline.parameter import Role
from towline.protocol.trial import PATIENCE_US, Movement, Trial, Verdict
from towline.transfer.events import OnEvent, Replaced, RolledBack
from towline.transfer.sampling import Ticks

LOOK_US = 50_000
UNSEEN = Identity(version=0, source="(not to be seen without CAP_SYS_ADMIN)", flags="")


class Replaceable(Protocol):
    """What has a program on an interface; all are None where ordinary sockets do the work."""

    program: int | None
    identity: Identity | None
    link: Link | None

    def recover(self) -> None:
        """Undo what a program may have left in the sessions' memory that stops its successor."""


class Watchdog:
    """`look` often: it does something every LOOK_US."""

    def __init__(self, watched: Replaceable, side: Role, on_event: OnEvent, now: int) -> None:
        self._watched = watched
        self._side = side
        self._on_event = on_event
        self._ticks = Ticks(LOOK_US)
        self.version: int | None = None  # of the program that is there; None: there is none
        # Descriptors: who replaces a program need not keep it.
        self._proven: int | None = None
        self._on_trial: int | None = None
        if watched.program is not None and watched.identity is not None:
            self._said = watched.identity  # by the one that is proven
            self.version = self._said.version
            self._proven = os.dup(watched.program)
            self._trial = Trial(program_info(watched.program).id, now)

    def look(self, movement: Movement | None, now: int) -> None:
        """`movement`: as in Trial.look."""
        link = self._watched.link
        if link is None or not self._ticks.due(now):
            return
        number = int(link_info(link.fd).prog_id)
        match self._trial.look(number, movement, now):
            case Verdict.REPLACED:
                self._end_trial()
                self._replaced(number)
            case Verdict.PROVEN:
                if self._on_trial is not None:
                    self._said = _identity_of(self._on_trial)
                    self._proven, self._on_trial = self._on_trial, self._proven
                self._end_trial()
            case Verdict.FAILED:
                self._roll_back(link, now)

    def close(self) -> None:
        """Let go of the program to go back to."""
        self._end_trial()
        if self._proven is not None:
            os.close(self._proven)
            self._proven = None

    def _end_trial(self) -> None:
        if self._on_trial is not None:
            os.close(self._on_trial)
            self._on_trial = None

    def _replaced(self, number: int) -> None:
        try:
            self._on_trial = open_program(number)
            said = _identity_of(self._on_trial)
        except FileNotFoundError:  # by a third one, meanwhile
            return
        except PermissionsError:  # somebody may replace our program whose programs we may not see
            said = UNSEEN
        self.version = said.version
        self._on_event(Replaced(side=self._side, program=number, version=said.version, source=said.source))

    def _roll_back(self, link: Link, now: int) -> None:
        assert self._proven is not None
        if not link.replace(self._proven, self._on_trial):  # returns when nobody runs the other one any more
            return  # it is another one already: the next look sees it
        self._watched.recover()
        self._trial.rolled_back(now)
        self._end_trial()
        self.version = self._said.version
        self._on_event(
            RolledBack(
                side=self._side,
                program=self._trial.proven,
                version=self._said.version,
                source=self._said.source,
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
    """Of a program, whose descriptor stays open."""
    with Program(os.dup(fd)) as program:
        return Identity.of(program)
