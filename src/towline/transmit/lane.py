# SPDX-License-Identifier: GPL-2.0-only
"""One lane's memory and its bursts, however they leave and however it is heard what became of them."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic_ns
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from towline.kernel.attach import Link
from towline.kernel.identity import Identity
from towline.protocol.sender import Schedule
from towline.slots import Slots
from towline.transmit.acknowledgements import Heard

BURST_MOST = 2048  # packets a call: 4096 were 5 % faster, and a lane is deaf meanwhile


def now_us() -> int:
    """Microseconds of the clock that packets are stamped with (CLOCK_MONOTONIC)."""
    return monotonic_ns() // 1000


class Hearing(Protocol):
    """What comes back to one lane."""

    def hear(self, now_us: int) -> Heard:
        """What the receiver has said."""

    def expect(self, sent_end: int) -> None:
        """Every index below may be spoken of from here on."""

    def counters(self) -> dict[str, int]:
        """What was heard, by kind and cause (names as in state.h)."""

    def rtt_histogram(self) -> NDArray[np.uint32]:
        """Round-trip samples by bucket of `rtt_bucket` (acknowledged.h)."""


class Bursts(Protocol):
    """How the packets of one lane leave."""

    @property
    def sent(self) -> int:
        """Packets that left."""

    def send(self, schedule: Schedule, lengths: NDArray[np.uint16]) -> int:
        """Send packets whose payloads have those lengths; how many have left, from the first on."""


class TransmitLane:
    """`slots`: the payload, `lengths` (uint16, by slot): bytes of each packet; both the filler's to write."""

    def __init__(
        self, *, slots: Slots, hearing: Hearing, bursts: Bursts, otherwise: Callable[[], Bursts] | None = None
    ) -> None:
        """`otherwise` makes what sends if nothing of what `bursts` sends is ever heard of."""
        self.slots = slots
        self.lengths = np.zeros(slots.window, np.uint16)
        self._hearing = hearing
        self._bursts = bursts
        self._otherwise = otherwise
        self._sent_before = 0

    def fall_back(self) -> bool:
        """Send by other means from here on; False: there are none."""
        if self._otherwise is None:
            return False
        make, self._otherwise = self._otherwise, None
        self._sent_before, self._bursts = self._bursts.sent, make()
        return True

    def hear(self, now: int) -> Heard:
        """What the receiver has said."""
        return self._hearing.hear(now)

    def send(self, schedule: Schedule, sent_end: int) -> tuple[int, int, int]:
        """Send a burst; `sent_end`: the highest index it holds, exclusive, or an earlier burst held.

        Returns how many entries have left, when the first and when the last did (microseconds).
        """
        self._hearing.expect(sent_end)
        started = now_us()
        count = self._bursts.send(schedule, self.lengths[schedule.indices & self.slots.window - 1])
        return count, started, now_us()

    def counters(self) -> dict[str, int]:
        """What left and what was heard on this lane (names as in state.h)."""
        return {"sent": self._sent_before + self._bursts.sent, **self._hearing.counters()}

    def rtt_histogram(self) -> NDArray[np.uint32]:
        """Round-trip samples by bucket of `rtt_bucket` (acknowledged.h)."""
        return self._hearing.rtt_histogram()


class Transmitter(Protocol):
    """All lanes of a transfer."""

    lanes: list[TransmitLane]
    transmit: str  # "live", "packet" or "udp"
    xdp_mode: str | None  # "native" or "generic"; None where no XDP program hears for it
    program: int | None  # that program's file descriptor
    identity: Identity | None  # and what it says of itself
    link: Link | None  # and what holds it in its place
    notes: tuple[str, ...]  # what was not used as it might have been, and why

    def recover(self) -> None:
        """Undo what a program may have left in the sessions' memory that stops its successor."""

    def close(self) -> None:
        """Everything goes."""


def rtt_percentile_us(histograms: NDArray[np.uint32], percent: float) -> int | None:
    """A percentile of the samples in summed histograms, as the middle of its bucket; None without samples."""
    total = histograms.sum()
    if not total:
        return None
    return bucket_middle(int(np.searchsorted(np.cumsum(histograms), total * percent / 100)))


def bucket_middle(bucket: int) -> int:
    """What a sample in a bucket of histogram.h was, in the middle."""
    if bucket < 8:
        return bucket
    octave, step = bucket // 8 + 2, bucket % 8
    return ((8 + step) << (octave - 3)) + (1 << max(octave - 4, 0)) // 2
