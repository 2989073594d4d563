# SPDX-License-Identifier: GPL-2.0-only
"""What goes out next on one lane, what again, and when to wake: vectorised over the window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from towline.protocol.congestion import RingPressure
from towline.protocol.loss import SILENCE_US, Reordering, RoundTrip, lost, overdue_us, probe_at_us, spread
from towline.protocol.pacing import Pace
from towline.protocol.window import NO_INDICES, Indices, unwrap
from towline.wire import Flag

# As numpy has them: an IntFlag would make 64-bit integers of them.
NO_FLAG, FLUSH, CHECKSUM, AGAIN = (np.uint16(flag) for flag in (Flag.NONE, Flag.FLUSH, Flag.CHECKSUM, Flag.AGAIN))

HOLD_US = 1_000  # how long a small burst waits to become a larger one


@dataclass(frozen=True, kw_only=True)
class Acknowledged:
    """What a lane's acknowledgements amount to; indices never wrap, exclusive ends.

    `missing`: indices in [base, highest) not placed as far as known, ascending; `shown_us` (the same shape): the
    sending time that the ACK echoed which last showed each one's bitmap word, far in the past if none did.
    """

    base: int
    limit: int
    highest: int
    useless: int = 0
    acks: int = 0
    rtt_us: int = 0
    rtt_samples: int = 0
    missing: Indices = field(default_factory=lambda: NO_INDICES)
    shown_us: Indices = field(default_factory=lambda: NO_INDICES)


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """One burst: `indices` int64 and `flags` uint16, both of shape (n,), in sending order.

    The whole of it stands there `copies` times, one behind the other: what one loss takes is seldom all of a packet.
    """

    indices: Indices
    flags: NDArray[np.uint16]
    copies: int = 1

    def __len__(self) -> int:
        return len(self.indices)


class LaneSender:
    """One lane. Call `filled` and `acknowledged` as things happen, then `next`, transmit, then `sent`.

    A slot (index modulo window) may be filled for indices below `limit`: the receiver has drained its last user.
    """

    def __init__(
        self,
        *,
        first: int,
        window: int,
        ack_every: int,
        pipelining: int | None,
        burst: int,
        checksum: bool,
        rtt: RoundTrip,
        now: int,
        pace: Pace | None = None,
        redundancy: int = 1,
        frame_bytes: int = 0,
    ) -> None:
        """`redundancy`: how often each packet is sent; `frame_bytes`: of a full DATA frame, which the pace counts."""
        self.first = self.base = self.highest = self.next_new = first
        self.limit = first + window
        self.filled_to = first
        self.end: int | None = None  # known when the stream's last block has been filled
        self.rtt = rtt
        self.retransmissions = 0
        self.redundant_copies = 0
        self.probes = 0
        self._window = window
        self._ack_every = ack_every
        self._in_flight_most = None if pipelining is None else (pipelining + 1) * ack_every
        self._redundancy = redundancy
        self._burst = max(1, burst // redundancy)  # different packets
        self._pace = pace
        self._frame_bytes = frame_bytes
        self._held_until_us = 0  # by the pace
        self._overdue_us: int | None = None  # when what an ACK has shown to be missing counts as lost anyhow
        self._checksum = CHECKSUM if checksum else NO_FLAG
        self._known = Acknowledged(base=first, limit=self.limit, highest=first)
        self._reordering = Reordering()
        self._pressure = RingPressure(burst=ack_every, window=window)
        self._sent_us = np.zeros(window, np.int64)
        self._again_us = np.full(window, -(1 << 62), np.int64)
        self._reopened = NO_INDICES  # asked for by NACK and not sent again since
        self._last_sent_us = self._last_heard_us = now
        self._probes_in_vain = 0

    # ---- what has happened

    def filled(self, to: int, *, end: int | None = None) -> None:
        """Slots hold packets below `to`; `end`: the lane's last packet is below it, there will be no more."""
        self.filled_to = to
        self.end = self.end if end is None else end

    def acknowledged(self, known: Acknowledged, now: int) -> None:
        """The latest state of the lane's acknowledgements."""
        old = self._known
        if known.acks != old.acks:
            self._last_heard_us = now
        if known.base > old.base or known.limit > old.limit or len(known.missing) < len(old.missing):
            self._probes_in_vain = 0
        self._known = known
        self.base, self.highest = known.base, known.highest
        # On `ring`, base waits for room in this side's ring buffer and limit does not: what is two windows wide
        # would not fit into a window's slots.
        self.limit = min(known.limit, known.base + self._window)
        self.rtt.sample(known.rtt_us, known.rtt_samples)
        self._reordering.useless(known.useless, self.retransmissions, self.rtt, now)
        self._pressure.passed(self.rtt, now)

    def negative(self, ranges: Sequence[tuple[int, int]], now: int) -> None:
        """A NACK: these (32-bit first, count) are open again until the receiver has drained them."""
        wanted = [self._open_again(unwrap(first, self.base), count, now) for first, count in ranges]
        if wanted:
            self._reopened = np.unique(np.concatenate([self._reopened, *wanted]))
        self._last_heard_us = now

    def ring_full(self, now: int) -> None:
        """A NACK with FULL: the receiver's ring buffer had no room."""
        self._pressure.full(self.base, self.rtt, now)
        self._last_heard_us = now

    def heard(self, now: int) -> None:
        """The receiver has said something else."""
        self._last_heard_us = now

    def sent(self, schedule: Schedule, count: int, started: int, finished: int) -> None:
        """The first `count` entries of a schedule have left between two times."""
        indices, slots = schedule.indices[:count], schedule.indices[:count] & self._window - 1
        first_time = min(count, len(schedule) // schedule.copies)
        again = int(np.count_nonzero(schedule.flags[:first_time] & AGAIN))  # they stand before the new ones
        times = spread(started, finished, count)
        self._sent_us[slots] = times  # of copies the last one's, or the first's loss would be the packet's
        self._again_us[slots[:again]] = times[:again]
        self.retransmissions += again
        self.redundant_copies += count - first_time
        if first_time > again:
            self.next_new = int(indices[first_time - 1]) + 1
        elif count:
            self._pressure.sent(finished)
        if self._pace is not None:
            self._pace.spent(count * self._frame_bytes)
        if len(self._reopened):
            self._reopened = np.setdiff1d(self._reopened, indices[:first_time], assume_unique=True)
        self._last_sent_us = finished

    # ---- what is next

    @property
    def finished_sending(self) -> bool:
        """Every packet of the lane has left at least once."""
        return self.end is not None and self.next_new == self.end

    @property
    def packets(self) -> int:
        """Packets that have left at least once."""
        return self.next_new - self.first

    def next(self, now: int) -> Schedule | None:
        """What to send now: the lost first, then new packets, or a probe; None: nothing."""
        if self._pressure.paused_until(now) is not None or now < self._held_until_us:
            return None
        again = self._again(now)
        fresh = 0 if self._pressure.recovering else self._fresh(len(again), now)
        if not len(again) and not fresh:
            again = self._overdue(now)
        probing = not len(again) and not fresh and self._probe_due(now)
        wanted = 1 if probing else len(again) + fresh
        allowed = self._allowed(wanted, now)
        if not allowed:
            return None
        if probing:
            return self._probe()
        again = again[:allowed]
        fresh = min(fresh, allowed - len(again))
        indices = np.concatenate((again, np.arange(self.next_new, self.next_new + fresh)))
        flags = np.full(len(indices), self._checksum, np.uint16)
        if len(self._reopened):
            flags[: len(again)][np.isin(again, self._reopened)] |= CHECKSUM
        # What the pace alone holds back does not wait for the receiver.
        waits = allowed == wanted or self._pressure.recovering
        flush = waits and self._must_wait_after(self.next_new + fresh)
        return self._schedule(indices, flags, again=len(again), flush=flush)

    def next_wakeup(self, now: int) -> int:
        """When to call `next` again if nothing is heard before."""
        paused = self._pressure.paused_until(now)
        if paused is not None:
            return paused
        if now < self._held_until_us:
            return self._held_until_us
        # A lane that has sent nothing has nothing to ask about.
        wakeup = self._probe_at() if self.packets else now + SILENCE_US
        if self._overdue_us is not None and self._overdue_us > now:
            wakeup = min(wakeup, self._overdue_us)
        if self._pressure.recovering:
            wakeup = min(wakeup, now + HOLD_US)
        elif self._sendable_to() > self.next_new:
            wakeup = min(wakeup, self._last_sent_us + HOLD_US)
        return max(wakeup, now)

    def _schedule(self, indices: Indices, flags: NDArray[np.uint16], *, again: int, flush: bool) -> Schedule:
        """The first `again` of these packets are retransmissions; `flush`: the receiver is to answer the last."""
        copies = self._redundancy
        if copies > 1:
            indices, flags = np.tile(indices, copies), np.tile(flags, copies)
        # Not on copies: the receiver counts the retransmissions that it could have done without.
        flags[:again] |= AGAIN
        if flush:
            flags[-1] |= FLUSH
        return Schedule(indices=indices, flags=flags, copies=copies)

    def _allowed(self, wanted: int, now: int) -> int:
        """How many packets the pace lets through."""
        if self._pace is None:
            return wanted
        allowed = self._pace.allow(wanted, self._redundancy * self._frame_bytes, now)
        if wanted and not allowed:
            self._held_until_us = self._pace.ready_us
        return allowed

    def _again(self, now: int) -> Indices:
        if len(self._reopened):
            self._reopened = self._reopened[self._reopened >= self.limit - self._window]
        if self._pressure.recovering:
            # No ACK need have shown them: the receiver has said that it drops.
            unplaced = np.concatenate((self._known.missing, np.arange(self.highest, self.next_new)))
            unplaced = np.union1d(unplaced, self._reopened)
            patience_us = self.rtt.smoothed_us * 5 // 4  # an answer takes a round trip, and never exactly one
            waited = self._sent_us[unplaced % self._window] + patience_us <= now
            return unplaced[waited][: min(self._ack_every, self._burst)]
        missing, shown_us = self._known.missing, self._known.shown_us
        if self._pressure.in_flight is not None:
            near = missing < self._receiver_allows()
            missing, shown_us = missing[near], shown_us[near]
        if len(missing):
            sent_us = self._sent_us[missing % self._window]
            missing = lost(missing, sent_us, shown_us, self._reordering.window_us(self.rtt))
        if len(self._reopened):
            missing = np.union1d(missing, self._reopened)
        return missing[: self._burst]

    def _overdue(self, now: int) -> Indices:
        """RACK's timer: nothing new can leave that would show what is lost; and when to look again."""
        self._overdue_us = None
        missing, shown_us = self._known.missing, self._known.shown_us
        if not len(missing) or self._pressure.recovering or not self._must_wait_after(self.next_new):
            return NO_INDICES
        sent_us = self._sent_us[missing % self._window]
        due_us = overdue_us(sent_us, shown_us, self._reordering.window_us(self.rtt), self.rtt)
        late = due_us <= now
        if not late.any():
            self._overdue_us = min(int(due_us.min()), now + SILENCE_US)
        return missing[late][: self._burst]

    def _open_again(self, first: int, count: int, now: int) -> Indices:
        low = max(first, self.limit - self._window)
        indices = np.arange(low, max(low, min(first + count, self.next_new)), dtype=np.int64)
        # One that was sent again less than a round trip ago may still be on its way.
        return indices[now - self._again_us[indices % self._window] >= self.rtt.smoothed_us]

    def _receiver_allows(self) -> int:
        """No packet from here on may leave before the receiver says more."""
        allowed = self.limit
        for in_flight in (self._in_flight_most, self._pressure.in_flight):
            if in_flight is not None:
                allowed = min(allowed, self.base + in_flight)
        return allowed

    def _sendable_to(self) -> int:
        return min(self._receiver_allows(), self.filled_to)

    def _fresh(self, again: int, now: int) -> int:
        most = min(self._burst - again, self._sendable_to() - self.next_new)
        if most <= 0 or again:
            return max(most, 0)
        if self._pace is not None:
            return most  # it makes batches
        worth = min(self._burst // 4, self._window // 4)
        if self._in_flight_most is not None or self._pressure.in_flight is not None:
            worth = min(worth, self._ack_every)
        idle = self.base == self.next_new
        if most >= worth or idle or self.next_new + most == self.end or now - self._last_sent_us >= HOLD_US:
            return most
        return 0

    def _must_wait_after(self, next_new: int) -> bool:
        """True where nothing may leave behind it until the receiver answers; waiting for the source is no reason."""
        return next_new >= self._receiver_allows() or next_new == self.end or self._pressure.recovering

    def _probe_at(self) -> int:
        return probe_at_us(
            unanswered=self.base < self.next_new,
            window_shut=self.next_new >= self._receiver_allows() and not self.finished_sending,
            rtt=self.rtt,
            probes=self._probes_in_vain,
            sent_us=self._last_sent_us,
            heard_us=self._last_heard_us,
        )

    def _probe_due(self, now: int) -> bool:
        return self.packets > 0 and now >= self._probe_at()

    def _probe(self) -> Schedule:
        self._probes_in_vain += 1
        self.probes += 1
        self._reordering.probed()
        flags = np.full(1, self._checksum, np.uint16)
        return self._schedule(np.array([self.next_new - 1]), flags, again=1, flush=True)
