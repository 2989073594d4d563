# SPDX-License-Identifier: GPL-2.0-only
"""Transmit `packet` and `udp`: packets are put together here, a batch at a time, and leave through a socket."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from towline.protocol.heads import check_of, write_words
from towline.protocol.sender import CHECKSUM, Schedule
from towline.protocol.window import Indices
from towline.slots import Slots
from towline.sockets.port import Flow
from towline.transmit.lane import now_us
from towline.wire import DATA_LEAST_BYTES, HEADER_BYTES, INDEX_MASK, MAGIC, Kind, payload_sums

BATCH_MOST = 256  # packets that are put together and sent at once: they carry one time stamp


def packet_bytes(payload_size: int) -> int:
    """Bytes of each packet. All are padded to the same, so that any run of them can leave by one call (GSO)."""
    return HEADER_BYTES + max(payload_size, DATA_LEAST_BYTES)


class FlowBursts:
    """One lane's packets, through a prepared way to the peer."""

    def __init__(self, *, session: int, slots: Slots, flow: Flow) -> None:
        """`flow`: of BATCH_MOST packets, each packet_bytes(payload_size) wide."""
        self._sent = 0
        self._session = session
        self._slots = slots
        self._rows = slots.rows()
        self._flow = flow

    @property
    def sent(self) -> int:
        """Packets that left."""
        return self._sent

    def send(self, schedule: Schedule, lengths: NDArray[np.uint16]) -> int:
        """Send packets whose payloads have those lengths; a full socket queue ends it early."""
        count = 0
        while count < len(schedule):
            end = min(count + BATCH_MOST, len(schedule))
            self._write(schedule.indices[count:end], schedule.flags[count:end], lengths[count:end])
            left = self._flow.send(end - count, packet_bytes(self._slots.payload_size))
            count += left
            self._sent += left
            if count < end:
                break
        return count

    def _write(self, indices: Indices, flags: NDArray[np.uint16], lengths: NDArray[np.uint16]) -> None:
        """Header, payload and padding of each packet."""
        payload_size = self._slots.payload_size
        packets = self._flow.packets[: len(indices)]
        payloads = packets[:, HEADER_BYTES:]
        np.take(self._rows, indices & self._slots.window - 1, axis=0, out=payloads[:, :payload_size], mode="clip")
        if payload_size < DATA_LEAST_BYTES:
            payloads[:, payload_size:] = 0
        short = np.flatnonzero(lengths < payload_size)  # a block's last packet: few
        if len(short):  # behind it stands what was in the slot before
            payloads[short, :payload_size] *= np.arange(payload_size) < lengths[short, None]
        words = np.empty((3, len(indices)), np.uint64)
        kind_flags = (flags.astype(np.uint64) | np.uint64(Kind.DATA << 4)) << np.uint64(48)
        words[0] = (
            np.uint64(MAGIC << 56 | self._session >> 32) | kind_flags | lengths.astype(np.uint64) << np.uint64(32)
        )
        words[1] = np.uint64((self._session & INDEX_MASK) << 32) | (indices & INDEX_MASK).astype(np.uint64)
        words[2] = (now_us() & INDEX_MASK or 1) << 32
        covered = flags & CHECKSUM != 0
        sums = np.zeros(len(indices), np.uint64)
        if covered.any():
            sums[covered] = payload_sums(payloads[covered, :payload_size])
        words[2] |= check_of(words, sums)
        write_words(packets, words)
