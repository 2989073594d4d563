# SPDX-License-Identifier: GPL-2.0-only
"""A fixed sending rate: a token bucket of frame bytes that lets batches through."""

from __future__ import annotations

from math import ceil

BATCH_US = 500  # what is worth a call: one costs some 50 us
DEPTH_US = 1_000  # what an idle lane saves up: little, or it would run over a queue on the path
DEPTH_PACKETS = 2
CATCH_UP_US = 4_000  # what is not lost to a process that comes late although it had something to send
_EXACT_US = 1e-3  # sums of fractions


class Pace:
    """Bits of frames per second, for one lane. Ask `allow`, send, and report what left with `spent`.

    The bucket starts with room for one packet, so that the average is exact from the first packet on.
    """

    def __init__(self, *, bits_per_second: float) -> None:
        self.ready_us = 0  # when what `allow` last held back may leave
        self._byte_us = 8e6 / bits_per_second
        self._empty_us: float | None = None  # all that was sent has, at this rate, left by then; None: nothing was
        self._held = False

    def batch(self, packet_bytes: int) -> int:
        """How many packets of that size are worth a call."""
        return max(1, int(BATCH_US / (packet_bytes * self._byte_us)))

    def allow(self, wanted: int, packet_bytes: int, now: int) -> int:
        """How many of so many packets may leave now; 0 where waiting until `ready_us` makes a worthwhile batch."""
        packet_us = packet_bytes * self._byte_us
        most_us = max(DEPTH_PACKETS * packet_us, CATCH_UP_US if self._held else DEPTH_US)
        if self._empty_us is None:
            self._empty_us = now - packet_us
        self._empty_us = max(self._empty_us, now - most_us)
        allowed = int((now - self._empty_us + _EXACT_US) / packet_us)
        self._held = allowed < wanted
        enough = min(wanted, self.batch(packet_bytes))
        if allowed < enough:
            self.ready_us = ceil(self._empty_us + enough * packet_us - _EXACT_US)
            return 0
        return min(allowed, wanted)

    def spent(self, frames_bytes: int) -> None:
        """So many bytes have left; more than were allowed are made up for."""
        if self._empty_us is not None:
            self._empty_us += frames_bytes * self._byte_us
