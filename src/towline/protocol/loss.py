# SPDX-License-Identifier: GPL-2.0-only
"""Which packets are lost, and how long to wait before asking: RACK-TLP (RFC 8985), with ACKs that show a part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from towline.protocol.window import Indices

REORDERING_LEAST_US = 50  # stamps are read every 32 packets
USELESS_SHARE = 8  # every eighth retransmission may be
ROUNDS_TO_FORGET = 16  # RFC 8985, section 6.2, step 4
PROBE_LEAST_US = 2_000
WINDOW_PROBE_LEAST_US = 20_000  # the receiving process says by itself when it has drained
PROBE_MOST_US = 250_000
SILENCE_US = 2_000_000
RTT_MOST_US = 10_000_000
NEVER_US = 1 << 62


@dataclass
class RoundTrip:
    """Smoothed round-trip time (RFC 6298) and its minimum; microseconds."""

    smoothed_us: int
    least_us: int
    samples: int = 0

    @classmethod
    def guess(cls, us: int) -> RoundTrip:
        """Before the first sample: what the handshake took, which has processes in it."""
        return cls(smoothed_us=us, least_us=us)

    def sample(self, us: int, samples: int) -> None:
        """The latest of `samples` samples so far."""
        if samples == self.samples or not 0 < us < RTT_MOST_US:
            return
        if not self.samples:
            self.smoothed_us = self.least_us = us
        self.samples = samples
        self.smoothed_us += (us - self.smoothed_us) // 8
        self.least_us = min(self.least_us, us)


class Reordering:
    """RACK's reordering window: a quarter of the least round trip, wider while retransmissions prove useless."""

    def __init__(self) -> None:
        self._multiple = 1
        self._useless = 0  # as counted so far
        self._excused = 0
        self._raised_us = 0
        self._suspicious = 0  # useless and not judged yet
        self._judged = 0  # retransmissions until the last judgement
        self._judged_us = 0

    def probed(self) -> None:
        """A tail-loss probe that finds its packet placed proves nothing about reordering."""
        self._excused += 1

    def useless(self, count: int, retransmissions: int, rtt: RoundTrip, now: int) -> None:
        """The receiver's count of useless retransmissions, as DSACK is to TCP, and ours of all of them."""
        fresh = count - self._useless - self._excused
        self._excused = max(0, -fresh)
        self._useless = count
        self._suspicious += max(0, fresh)
        if self._suspicious and now - self._judged_us > rtt.smoothed_us:
            # A path that duplicates packets, or an ACK that came late, makes a few useless: no reason for patience.
            if self._suspicious * USELESS_SHARE > retransmissions - self._judged:
                self._multiple += 1
                self._raised_us = now
            self._suspicious, self._judged, self._judged_us = 0, retransmissions, now
        if self._multiple > 1 and now - self._raised_us > ROUNDS_TO_FORGET * rtt.smoothed_us:
            self._multiple -= 1
            self._raised_us = now

    def window_us(self, rtt: RoundTrip) -> int:
        """How much later than a packet another must have been sent, and seen, for the first to be lost."""
        return max(REORDERING_LEAST_US, min(self._multiple * rtt.least_us // 4, rtt.smoothed_us))


def lost(missing: Indices, sent_us: Indices, shown_us: Indices, reordering_us: int) -> Indices:
    """Of packets not placed as far as known, those that an ACK has shown to be missing.

    `sent_us`: when each was last sent; `shown_us`: when the packet was sent whose ACK last showed the bitmap word of
    each (what was never shown is unknown, not lost). A packet sent that much later has been seen: it is lost.
    """
    return missing[sent_us + reordering_us <= shown_us]


def overdue_us(sent_us: Indices, shown_us: Indices, reordering_us: int, rtt: RoundTrip) -> Indices:
    """When packets that are missing count as lost though nothing that left later by the window has been seen.

    RACK's timer (RFC 8985, 6.2, step 5): a round trip and the window after each was last sent, if what has shown it
    missing left with it or later; else far in the future. For the tail, behind which nothing leaves that would show it,
    of a long path: on a short one a probe is quicker to ask than this is to be sure.
    """
    if rtt.smoothed_us < PROBE_LEAST_US:
        return np.full(len(sent_us), NEVER_US)
    after_us = rtt.smoothed_us + reordering_us
    return np.where(shown_us >= sent_us, sent_us + after_us, NEVER_US)


def probe_at_us(
    *, unanswered: bool, window_shut: bool, rtt: RoundTrip, probes: int, sent_us: int, heard_us: int
) -> int:
    """When the sender asks again; `sent_us`, `heard_us`: the last word from either side."""
    after_us = probe_after_us(unanswered=unanswered, window_shut=window_shut, rtt=rtt, probes=probes)
    # What is heard while an answer is due speaks of what was sent a round trip ago.
    return max(sent_us, heard_us - (rtt.smoothed_us if unanswered else 0)) + after_us


def probe_after_us(*, unanswered: bool, window_shut: bool, rtt: RoundTrip, probes: int) -> int:
    """How long the sender waits for an answer; `probes`: in vain so far (RFC 8985, 7.2)."""
    if unanswered:
        first = max(2 * rtt.smoothed_us, PROBE_LEAST_US)
    elif window_shut:
        first = max(2 * rtt.smoothed_us, WINDOW_PROBE_LEAST_US)
    else:
        return SILENCE_US
    return min(first << min(probes, 10), max(first, PROBE_MOST_US))


def spread(started_us: int, finished_us: int, count: int) -> Indices:
    """When each of `count` packets of a burst left, between the two times: int64, ascending."""
    step_us = (finished_us - started_us) / max(count, 1)
    return started_us + (np.arange(1, count + 1) * step_us).astype(np.int64)
