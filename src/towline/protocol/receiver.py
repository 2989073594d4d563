# SPDX-License-Identifier: GPL-2.0-only
"""What the receiving process decides on one lane: which blocks to verify, what to take back, how far it has drained."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from towline.errors import IntegrityError, MalformedError
from towline.protocol.window import NO_INDICES, Indices
from towline.wire import TRAILER_BYTES

NACK_FIRST_US = 20_000
NACK_MOST_US = 1_000_000


def packets_per_block(block_bytes: int, payload_size: int) -> int:
    """Packets of a whole block and its trailer."""
    return -(-(block_bytes + TRAILER_BYTES) // payload_size)


@dataclass(frozen=True, kw_only=True)
class Stream:
    """What is known of the whole stream; `stream_bytes` is None until a FIN has come."""

    block_bytes: int
    payload_size: int
    stream_bytes: int | None = None

    @property
    def blocks(self) -> int | None:
        """Blocks in the stream, None while unknown; a stream is never empty, its first entry stands in it."""
        return None if self.stream_bytes is None else -(-self.stream_bytes // self.block_bytes)

    def bytes_of(self, number: int) -> int:
        """Stream bytes of one block."""
        if self.stream_bytes is None:
            return self.block_bytes
        return min(self.block_bytes, self.stream_bytes - number * self.block_bytes)


class Asking:
    """When to ask for what was taken back: fresh ones at once, all of them again after a while without an answer."""

    def __init__(self, response_us: int) -> None:
        self._first_us = self._after_us = max(NACK_FIRST_US, 2 * response_us)
        self._asked = NO_INDICES  # and still wanted
        self._since_us: int | None = None  # the first NACK that nothing has answered
        self._due_us = 0

    def next(self, wanted: Indices, now: int) -> Indices:
        """Which of the wanted indices (ascending) to ask for now."""
        if not len(wanted) and not len(self._asked):
            return wanted
        still = np.intersect1d(self._asked, wanted, assume_unique=True)
        if len(still) < len(self._asked):
            self._answered(now)
        self._asked = still
        if len(still) and now >= self._due_us:
            return self._ask(wanted, wanted, now)
        fresh = np.setdiff1d(wanted, still, assume_unique=True)
        return self._ask(wanted, fresh, now) if len(fresh) else fresh

    def _ask(self, wanted: Indices, indices: Indices, now: int) -> Indices:
        if len(indices) == len(wanted):
            self._due_us = now + self._after_us
            self._after_us = min(2 * self._after_us, NACK_MOST_US)
        if self._since_us is None:
            self._since_us = now
        self._asked = wanted
        return indices

    def _answered(self, now: int) -> None:
        """It moves: no reason for patience. What came may answer an earlier NACK; then this is rather too long."""
        if self._since_us is not None:
            self._first_us = max(NACK_FIRST_US, min(2 * (now - self._since_us), NACK_MOST_US))
            self._since_us = None
        self._due_us = now + self._first_us
        self._after_us = self._first_us


@dataclass(frozen=True, kw_only=True)
class Span:
    """A block that is placed and waits to be verified: packets first to end (exclusive)."""

    first: int
    end: int
    sizes: tuple[int, ...]  # how many stream bytes it may hold, the likeliest first


class LaneReceiver:
    """One lane. `placed` gives the blocks to verify; answer each with `verified`, `failed`, or nothing (not yet)."""

    def __init__(self, *, first: int, stream: Stream, rtt_us: int) -> None:
        self.first = self.drained = first
        self.end: int | None = None  # from FIN
        self.stream = stream
        self._per_block = packets_per_block(stream.block_bytes, stream.payload_size)
        self._verified: set[int] = set()  # first packets of blocks that are verified above drained
        self._asking = Asking(rtt_us)

    def resume(self, drained: int) -> None:
        """Where another process has stopped: between two blocks, or at the end, if that is known; or MalformedError."""
        done = drained - self.first
        if drained != self.end and (done < 0 or done % self._per_block or (self.end or drained) < drained):
            raise MalformedError(f"a lane that was left {done} packets from its first")
        self.drained = drained

    def finished(self, packets: int, stream: Stream) -> None:
        """FIN: how many packets the lane has and how long the stream is. Raises IntegrityError where they disagree."""
        end = self.first + packets
        if not stream.blocks or (self.end is not None and self.end != end) or end < self.drained:
            raise IntegrityError("the sender named two different ends of a lane")
        whole, rest = divmod(packets, self._per_block)
        last = packets_per_block(stream.bytes_of(stream.blocks - 1), stream.payload_size)
        if rest not in (0, last) or whole > stream.blocks:
            raise IntegrityError("a lane's packets do not add up to blocks")
        self.end = end
        self.stream = stream

    @property
    def done(self) -> bool:
        """All of the lane is drained."""
        return self.end is not None and self.drained == self.end

    def placed(self, ready: int, highest: int, wanted: Indices) -> list[Span]:
        """Blocks whose packets all stand in their slots, ascending.

        `ready`: everything below has been placed; `highest`: highest index seen, exclusive; `wanted`: ascending indices
        taken back and not replaced yet.
        """
        spans = []
        first = self.drained
        while (end := self._end_of(first)) <= ready and first < end:
            if first not in self._verified and not np.any((wanted >= first) & (wanted < end)):
                sizes = self._sizes(end - first, behind=highest > end)
                spans.append(Span(first=first, end=end, sizes=sizes))
            first = end
        return spans

    def is_damaged(self, span: Span, highest: int) -> bool:
        """True where a span that failed is damaged: it cannot be a short last block whose FIN is to come."""
        return self.end is not None or highest > span.end

    def verified(self, span: Span) -> int:
        """The block is handed over; returns the new `drained`."""
        self._verified.add(span.first)
        while self.drained in self._verified:
            self._verified.discard(self.drained)
            self.drained = self._end_of(self.drained)
        return self.drained

    def nack(self, wanted: Indices, now: int) -> Indices:
        """Which of the wanted indices (ascending) to ask for now."""
        return self._asking.next(wanted, now)

    def _end_of(self, first: int) -> int:
        end = first + self._per_block
        return end if self.end is None else min(end, self.end)

    def _sizes(self, packets: int, *, behind: bool) -> tuple[int, ...]:
        blocks = self.stream.blocks
        whole = self.stream.block_bytes
        if blocks is None or behind:
            return (whole,)
        last = self.stream.bytes_of(blocks - 1)
        fits = packets_per_block(last, self.stream.payload_size) == packets
        if packets < self._per_block:
            return (last,)
        return (whole, last) if fits and last != whole else (whole,)
