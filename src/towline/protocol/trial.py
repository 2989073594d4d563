# SPDX-License-Identifier: GPL-2.0-only
"""A program that was put in place in mid-transfer is on trial: it stays if the transfer moves on, and goes if not."""

from __future__ import annotations

from enum import Enum, auto

PATIENCE_US = 1_000_000


class Verdict(Enum):
    """What a look has found."""

    REPLACED = auto()  # another program than at the last look
    PROVEN = auto()  # it has moved the transfer on for PATIENCE_US: from here on it is the one to go back to
    FAILED = auto()  # the transfer has stood still under it for PATIENCE_US: put the last proven one back


class Trial:
    """Look often; times are microseconds of one clock. `proven`: the number of the program to go back to."""

    def __init__(self, program: int, now: int) -> None:
        self.proven = program
        self._current = program
        self._since_us = self._moved_us = now
        self._progress: int | None = None

    def look(self, program: int, progress: int | None, now: int) -> Verdict | None:
        """`program`: the one that is in place; `progress`: any number that changes as the transfer moves on, None where
        there is nothing to move, which nobody is blamed for.
        """
        if program != self._current:
            self._current, self._progress = program, progress
            self._since_us = self._moved_us = now
            return Verdict.REPLACED
        if progress is None:
            self._since_us = self._moved_us = now
        elif progress != self._progress:
            self._moved_us = now
        self._progress = progress
        if program == self.proven:
            return None
        if now - self._moved_us >= PATIENCE_US:
            return Verdict.FAILED
        if self._moved_us - self._since_us >= PATIENCE_US:
            self.proven = program
            return Verdict.PROVEN
        return None
