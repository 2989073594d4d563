# SPDX-License-Identifier: GPL-2.0-only
"""Fills a lane's slots with blocks of the stream: the only copy that the sending process makes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from towline.protocol.receiver import packets_per_block
from towline.slots import Slots, scatter
from towline.transfer.digest import BlockDigest, trailer
from towline.transfer.stream import OutgoingStream
from towline.wire import TRAILER_BYTES


@dataclass
class _Block:
    """One block on its way into the slots."""

    number: int
    size: int
    first: int
    end: int
    digest: BlockDigest = field(default_factory=BlockDigest)
    trailer: bytes = b""


class LaneFiller:
    """One lane. Lanes share the stream's blocks: a lane takes the next one when it has nothing left to send."""

    def __init__(self, stream: OutgoingStream, slots: Slots, lengths: NDArray[np.uint16], first: int) -> None:
        """`lengths`: by slot, the bytes of each packet; written here."""
        self.filled_to = first
        self.end: int | None = None  # known when the stream has no more blocks
        self._stream = stream
        self._slots = slots
        self._lengths = lengths
        self._block: _Block | None = None

    def fill(self, to: int) -> None:
        """Fill slots of packets below `to`, as far as the stream goes; their last users must be drained."""
        while self.filled_to < to and self.end is None:
            block = self._block or self._take()
            if block is None:
                self.end = self.filled_to
                return
            self._fill(block, min(to, block.end))

    def _take(self) -> _Block | None:
        taken = self._stream.take()
        if taken is not None:
            number, size = taken
            packets = packets_per_block(size, self._slots.payload_size)
            self._block = _Block(number, size, self.filled_to, self.filled_to + packets)
        return self._block

    def _fill(self, block: _Block, to: int) -> None:
        payload = self._slots.payload_size
        start = (self.filled_to - block.first) * payload
        stop = min((to - block.first) * payload, block.size + TRAILER_BYTES)
        if start < block.size:
            views = self._slots.pieces(block.first, start, min(stop, block.size) - start)
            self._stream.read_into(views, block.number, start)
            block.digest.update(views)
        if stop > block.size:
            self._fill_trailer(block, max(start, block.size), stop)
        slots = np.arange(self.filled_to, to) % self._slots.window
        self._lengths[slots] = payload
        if to == block.end:
            self._lengths[slots[-1]] = stop - (to - 1 - block.first) * payload
            self._block = None
            if self._stream.exhausted:  # known now, not with the next call: FLUSH and FIN follow the last packet
                self.end = to
        self.filled_to = to  # the last word: a thread that sends goes by it

    def _fill_trailer(self, block: _Block, start: int, stop: int) -> None:
        if not block.trailer:
            digest = block.digest.finish(block.number)
            self._stream.add_digest(block.number, digest)
            block.trailer = trailer(block.number, digest)
        views = self._slots.pieces(block.first, start, stop - start)
        scatter(views, block.trailer[start - block.size : stop - block.size])
