# SPDX-License-Identifier: GPL-2.0-only
"""A LaneSender with a clock, a filler and an ear, for the tests of its rules."""

from __future__ import annotations

from typing import Any

import numpy as np

from towline.protocol.loss import RoundTrip
from towline.protocol.sender import Acknowledged, LaneSender
from towline.wire import Flag

FIRST = (1 << 32) - 3
NEVER_US = -(1 << 62)
RTT_US = 1_000
FLUSH, CHECKSUM, AGAIN = int(Flag.FLUSH), int(Flag.CHECKSUM), int(Flag.AGAIN)


class Bench:
    """A lane and a clock; indices count from the lane's first."""

    def __init__(self, *, filled: int = 10_000, end: int | None = None, rtt_us: int = RTT_US, **more: Any) -> None:
        options: dict[str, Any] = {"window": 64, "ack_every": 8, "pipelining": None, "burst": 256, "checksum": False}
        self.now = 1_000_000
        options |= more
        self.lane = LaneSender(first=FIRST, rtt=RoundTrip.guess(rtt_us), now=self.now, **options)
        self._rtt_us = rtt_us
        self._window = options["window"]
        self._filled = filled
        self._end = end
        self._acks = self._samples = 0
        self.fill()

    def fill(self) -> None:
        to = min(self.lane.limit, FIRST + self._filled)
        self.lane.filled(to, end=None if self._end is None else FIRST + self._end)

    def next(self) -> tuple[list[int], list[int]] | None:
        """A burst that leaves at once: indices and flags."""
        schedule = self.lane.next(self.now)
        if schedule is None:
            return None
        self.lane.sent(schedule, len(schedule), self.now, self.now)
        return (schedule.indices - FIRST).tolist(), schedule.flags.tolist()

    def wait(self, us: int) -> None:
        self.now += us

    def hear(
        self,
        base: int,
        *,
        drained: int = 0,
        highest: int | None = None,
        missing: tuple[int, ...] = (),
        shown: int | None = None,
        useless: int = 0,
    ) -> None:
        """An ACK; `shown`: the sending time it echoes, None where no word was ever shown."""
        self._acks += 1
        self._samples += 1
        self.lane.acknowledged(
            Acknowledged(
                base=FIRST + base,
                limit=FIRST + drained + self._window,
                highest=FIRST + (base if highest is None else highest),
                useless=useless,
                acks=self._acks,
                rtt_us=self._rtt_us,
                rtt_samples=self._samples,
                missing=np.array([FIRST + i for i in missing], np.int64),
                shown_us=np.full(len(missing), NEVER_US if shown is None else shown, np.int64),
            ),
            self.now,
        )
        self.fill()

    def nack(self, *ranges: tuple[int, int]) -> None:
        self.lane.negative([((FIRST + first) & 0xFFFFFFFF, count) for first, count in ranges], self.now)


def run_of(low: int, high: int, flags: int = 0, last: int | None = None) -> tuple[list[int], list[int]]:
    marks = [flags] * (high - low)
    marks[-1] = flags if last is None else last
    return list(range(low, high)), marks
