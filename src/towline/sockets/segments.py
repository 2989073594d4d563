# SPDX-License-Identifier: GPL-2.0-only
"""Messages as a batch of packets: the frame off, what the kernel had joined cut apart, what is not ours left out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from towline.sockets.batches import Arrivals
from towline.sockets.port import Batch, Peer
from towline.sockets.ring import Ring
from towline.wire import HEADER_BYTES, MAGIC


class Cutter:
    """Keeps the memory for messages that have to be copied, and counts what was no packet of ours."""

    def __init__(self) -> None:
        self.malformed = 0
        self._memory = np.empty(0, np.uint8)

    def cut(
        self,
        arrivals: Arrivals | Ring,
        lengths: NDArray[np.int64],
        segments: NDArray[np.int64],
        *,
        skip: int,
        peer: Callable[[int], Peer | None],
    ) -> Batch | None:
        """The packets in n messages of the arrivals. None where none is ours.

        `lengths`: shape (n,), bytes of each message (-1: it did not fit). `segments`: shape (n,): bytes of each packet
        in a message but the last, which may be shorter; 0: the message is one packet. `skip`: bytes of frame in front
        of each message. `peer`: who sent a message. Views of the arrivals where no length forbids it, else a copy.
        """
        bodies = np.maximum(lengths - skip, 0)
        sizes = np.where(segments > 0, segments, np.maximum(bodies, 1))
        counts = -(-bodies // sizes)
        counts[lengths < 0] = 1  # to be counted as malformed below
        if counts.max() <= 1 and lengths.max() <= arrivals.row_bytes:
            packets, of = arrivals.rows[: len(lengths), skip:], np.arange(len(lengths))
            sizes = bodies
        else:
            of = np.repeat(np.arange(len(lengths)), counts)
            if skip == 0 and _are_back_to_back(arrivals, lengths, sizes):
                packets = arrivals.rows.reshape(-1)[: len(of) * sizes[0]].reshape(len(of), -1)
            else:
                packets = self._copied(arrivals, bodies, sizes, counts, skip)
            last = np.cumsum(counts)[counts > 0] - 1
            sizes = sizes[of]
            sizes[last] = (bodies - (counts - 1) * np.where(segments > 0, segments, 0))[counts > 0]
        ours = (packets[:, 0] == MAGIC) & (sizes >= HEADER_BYTES)
        if not ours.all():
            self.malformed += len(ours) - int(np.count_nonzero(ours))
            packets, sizes, of = packets[ours], sizes[ours], of[ours]
        return Batch(packets, sizes, lambda row: peer(int(of[row]))) if len(sizes) else None

    def _copied(
        self,
        arrivals: Arrivals | Ring,
        bodies: NDArray[np.int64],
        sizes: NDArray[np.int64],
        counts: NDArray[np.int64],
        skip: int,
    ) -> NDArray[np.uint8]:
        # A statement or two per message, each of which is dozens of packets where this is the rule.
        width, total = int(sizes.max()), int(counts.sum())
        if len(self._memory) < width * total:
            self._memory = np.empty(width * total * 2, np.uint8)
        rows = self._memory[: width * total].reshape(total, width)
        at = 0
        for message, (body, size, count) in enumerate(
            zip(bodies.tolist(), sizes.tolist(), counts.tolist(), strict=True)
        ):
            inside = arrivals.rows[message, skip : skip + body]
            outside = arrivals.overflow[message, : body - len(inside)]
            if size == width:
                straight = rows[at:].reshape(-1)
                straight[: len(inside)] = inside
                straight[len(inside) : body] = outside
            else:
                joined, whole = np.concatenate((inside, outside)), body // size
                rows[at : at + whole, :size] = joined[: whole * size].reshape(whole, size)
                if body > whole * size:
                    rows[at + whole, : body - whole * size] = joined[whole * size :]
            at += count
        return rows


def _are_back_to_back(arrivals: Arrivals | Ring, lengths: NDArray[np.int64], sizes: NDArray[np.int64]) -> bool:
    """Whether all packets but the very last are of one size and fill their rows, so that nothing lies between them."""
    full = lengths[:-1] == arrivals.row_bytes
    fits = bool(0 < lengths[-1] <= arrivals.row_bytes) and arrivals.row_bytes % int(sizes[0]) == 0
    return bool(full.all()) and fits and bool((sizes[:-1] == sizes[0]).all()) and bool(sizes[-1] <= sizes[0])
