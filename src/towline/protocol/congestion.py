# SPDX-License-Identifier: GPL-2.0-only
"""Holding back for a receiver whose ring buffer is full: a pause, then additive increase, multiplicative decrease."""

from __future__ import annotations

from towline.protocol.loss import RoundTrip

PAUSE_LEAST_US = 1_000
PAUSE_MOST_US = 100_000


class RingPressure:
    """While the receiver says FULL: nothing new, one burst of what is missing per pause.

    Afterwards at most `in_flight` packets beyond base, a burst more each round trip (Chiu and Jain, 1989), so that the
    window does not run over the ring again at once. None: the window alone limits.
    """

    def __init__(self, *, burst: int, window: int) -> None:
        self._burst = burst
        self._window = window
        self._pause_us = 0
        self._until_us = 0
        self._full_us: int | None = None
        self._grown_us = 0
        self._base = -1
        self.in_flight: int | None = None

    def full(self, base: int, rtt: RoundTrip, now: int) -> None:
        """A NACK with FULL has come."""
        self._full_us = now
        if now < self._until_us:
            return
        least = max(rtt.smoothed_us, PAUSE_LEAST_US)
        self._pause_us = least if base > self._base else min(2 * self._pause_us, PAUSE_MOST_US)
        self._base = base
        self._until_us = now + self._pause_us
        self.in_flight = max(self._burst, (self.in_flight or self._window) // 2)

    def paused_until(self, now: int) -> int | None:
        """The end of the pause, None where there is none."""
        return self._until_us if now < self._until_us else None

    @property
    def recovering(self) -> bool:
        """Nothing new may leave."""
        return self._full_us is not None

    def sent(self, now: int) -> None:
        """A burst of what was missing has left: the next after another pause."""
        if self.recovering:
            self._until_us = now + self._pause_us

    def passed(self, rtt: RoundTrip, now: int) -> None:
        """Time has passed: forget FULL after a round trip and a pause without, and let more fly."""
        round_trip_us = max(rtt.smoothed_us, PAUSE_LEAST_US)
        if self._full_us is not None and now - self._full_us > round_trip_us + self._pause_us:
            self._full_us = None
            self._grown_us = now
        if self._full_us is None and self.in_flight is not None and now - self._grown_us > round_trip_us:
            self._grown_us = now
            self.in_flight += self._burst
            if self.in_flight >= self._window:
                self.in_flight = None
