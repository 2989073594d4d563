# SPDX-License-Identifier: GPL-2.0-only
"""A program that was put in place in mid-transfer is on trial: it stays if the transfer moves on, and goes if not.

One that stops all acknowledgements lets the transfer move on until the sender has used up its window, which on a slow
path takes longer than any patience. So the proof of a program is more than a window.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

PATIENCE_US = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Movement:
    """How far a process's transfers are, summed over their lanes."""

    mark: int  # anything that changes as they move on
    carried: int  # packets that were acknowledged, or are drained, each lane's from its first on
    window: int  # no sender goes further without an acknowledgement that came through


class Verdict(Enum):
    """What a look has found."""

    REPLACED = auto()  # another program than at the last look
    PROVEN = auto()  # it has moved the transfer on for PATIENCE_US and by its window: it is the one to go back to
    FAILED = auto()  # the transfer has stood still under it for PATIENCE_US: put the last proven one back


class Trial:
    """Look often; times are microseconds of one clock. `proven`: the number of the program to go back to."""

    def __init__(self, program: int, now: int) -> None:
        self.proven = self._current = program
        self._since_us = self._moved_us = now
        self._from: Movement | None = None  # where the proof is counted from
        self._last: Movement | None = None

    def look(self, program: int, movement: Movement | None, now: int) -> Verdict | None:
        """`program`: the one that is in place; `movement`: None where there is nothing to move, which nobody is blamed
        for.
        """
        if program != self._current:
            self._begin(program, movement, now)
            return Verdict.REPLACED
        if movement is None:
            self._begin(program, None, now)
            return None
        if movement != self._last:
            self._moved_us = now
        if self._from is None or movement.window != self._from.window:  # what other lanes have done is no proof
            self._from = movement
        self._last = movement
        if program == self.proven:
            return None
        if now - self._moved_us >= PATIENCE_US:
            return Verdict.FAILED
        if self._moved_us - self._since_us >= PATIENCE_US and movement.carried - self._from.carried > movement.window:
            self.proven = program
            return Verdict.PROVEN
        return None

    def rolled_back(self, now: int) -> None:
        """The proven program was put back in place."""
        self._begin(self.proven, None, now)

    def _begin(self, program: int, movement: Movement | None, now: int) -> None:
        self._current = program
        self._since_us = self._moved_us = now
        self._from = self._last = movement
