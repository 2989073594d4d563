# SPDX-License-Identifier: GPL-2.0-only
"""Many messages in one system call: recvmmsg and sendmmsg on prepared arrays, of which no row is touched in Python.

The structures are those of a 64-bit Linux (recvmmsg(2), sendmmsg(2), cmsg(3)).
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import socket
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

PIECE = np.dtype([("base", "u8"), ("bytes", "u8")])  # struct iovec
MESSAGE = np.dtype(  # struct mmsghdr
    {
        "names": ["name", "name_bytes", "pieces", "count", "control", "control_bytes", "flags", "bytes"],
        "formats": ["u8", "u4", "u8", "u8", "u8", "u8", "i4", "u4"],
        "offsets": [0, 8, 16, 24, 32, 40, 48, 56],
        "itemsize": 64,
    }
)
ANCILLARY_BYTES = 16  # struct cmsghdr: length, level, type
MOST_MESSAGES = 1024  # UIO_MAXIOV: the kernel takes no more in one call
RETRY_S = 200e-6  # after a queue that cannot be polled for was full
# The link is down, no way there, too large for the path: what a path might do too. ECONNREFUSED is an older packet's.
LOST = frozenset(
    {
        *(errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EHOSTDOWN),
        *(errno.EMSGSIZE, errno.ECONNREFUSED, errno.EPERM, errno.EADDRNOTAVAIL),
    }
)
_AGAIN = frozenset({errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM, errno.EINTR})

_libc = ctypes.CDLL(None, use_errno=True)  # a call through it lets other threads run
_POINTER, _UNSIGNED, _INT = ctypes.c_void_p, ctypes.c_uint, ctypes.c_int
_libc.recvmmsg.argtypes = (_INT, _POINTER, _UNSIGNED, _INT, _POINTER)
_libc.sendmmsg.argtypes = (_INT, _POINTER, _UNSIGNED, _INT)


def addresses(rows: NDArray[Any]) -> NDArray[np.uint64]:
    """Where each row of an array begins in memory: shape (n,)."""
    return np.uint64(rows.ctypes.data) + np.arange(len(rows), dtype=np.uint64) * np.uint64(rows.strides[0])


def ancillary(level: int, kind: int, value: bytes) -> bytes:
    """One control message, padded as the next one wants it."""
    head = np.array([ANCILLARY_BYTES + len(value)], np.uint64).tobytes() + np.array([level, kind], np.int32).tobytes()
    return head + value + bytes(-len(value) % 8)


class Arrivals:
    """Room for a batch of messages: row i holds what came i-th.

    A message fills `prefixes[i]` (for sockets that put a header of the kernel's in front), then `rows[i]`, which lie
    back to back, then `overflow[i]`: so no length is lost, and messages as long as a row are one run of bytes.
    """

    def __init__(
        self, *, row_bytes: int, count: int, control_bytes: int = 0, prefix_bytes: int = 0, overflow_bytes: int = 0
    ) -> None:
        self.row_bytes = row_bytes
        self.count = count
        self.prefix_bytes = prefix_bytes
        self.rows = np.zeros((count, row_bytes), np.uint8)
        self.prefixes = np.zeros((count, prefix_bytes), np.uint8)
        self.overflow = np.empty((count, overflow_bytes), np.uint8)  # untouched memory costs nothing
        self.names = np.zeros((count, 32), np.uint8)  # sockaddr_ll, _in, _in6
        self._controls = np.zeros((count, control_bytes), np.uint8)
        pieces = np.zeros((count, 3), PIECE)
        for column, area in enumerate((self.prefixes, self.rows, self.overflow)):
            pieces["base"][:, column] = addresses(area)
            pieces["bytes"][:, column] = area.shape[1]
        self._pieces = pieces
        self._messages = np.zeros(count, MESSAGE)
        self._messages["name"] = addresses(self.names)
        self._messages["pieces"] = addresses(pieces)
        self._messages["count"] = 3
        self._messages["control"] = addresses(self._controls)
        self._used = count

    def receive(self, fileno: int) -> int:
        """How many messages came; 0 where none is there. Raises OSError."""
        self._messages["name_bytes"][: self._used] = self.names.shape[1]
        self._messages["control_bytes"][: self._used] = self._controls.shape[1]
        got = int(_libc.recvmmsg(fileno, self._messages.ctypes.data, self.count, socket.MSG_DONTWAIT, None))
        self._used = max(got, 0)
        if got < 0:
            self._used = 1  # the kernel may have written into the first before it gave up
            number = ctypes.get_errno()
            if number not in (errno.EAGAIN, errno.EINTR):
                raise OSError(number, os.strerror(number))
        return self._used if got > 0 else 0

    def lengths(self) -> NDArray[np.int64]:
        """Bytes of each message that came, without its prefix; -1 where it was longer than its room."""
        messages = self._messages[: self._used]
        whole = messages["flags"] & socket.MSG_TRUNC == 0
        return np.where(whole, np.maximum(messages["bytes"].astype(np.int64) - self.prefix_bytes, -1), -1)

    def ancillaries(self, level: int, kind: int, width: int) -> tuple[NDArray[np.bool_], NDArray[np.uint8]]:
        """The control message of a kind that came with each message: whether, and its first `width` bytes."""
        controls = self._controls[: self._used]
        sizes = self._messages["control_bytes"][: self._used].astype(np.int64)
        found = np.zeros(len(controls), bool)
        values = np.zeros((len(controls), width), np.uint8)
        at = np.zeros(len(controls), np.int64)
        rows = np.flatnonzero(sizes >= ANCILLARY_BYTES + width)
        while len(rows):
            spots = at[rows, None] + np.arange(ANCILLARY_BYTES + width)
            heads = controls[rows[:, None], spots]
            kinds = np.ascontiguousarray(heads[:, 8:16]).view(np.int32)
            hits = (kinds[:, 0] == level) & (kinds[:, 1] == kind)
            values[rows[hits]] = heads[hits, ANCILLARY_BYTES:]
            found[rows[hits]] = True
            lengths = np.ascontiguousarray(heads[:, :8]).view(np.int64)[:, 0]
            at[rows] += np.maximum(lengths + 7 & ~7, ANCILLARY_BYTES)
            rows = rows[~hits & (at[rows] + ANCILLARY_BYTES + width <= sizes[rows])]
        return found, values


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What became of some messages: how many the system took or refused, and how many of them it refused."""

    done: int
    refused: int


def send_messages(
    fileno: int, messages: NDArray[Any], count: int, *, patience_s: float, lost: frozenset[int] = LOST
) -> Sent:
    """Send messages[:count] (dtype MESSAGE); stops where the queue stays full for as long as `patience_s`.

    Raises OSError for what is no fault of the path, which is what `lost` lists.
    """
    done = refused = 0
    deadline = None
    while done < count:
        start = messages.ctypes.data + done * MESSAGE.itemsize
        took = int(_libc.sendmmsg(fileno, start, min(count - done, MOST_MESSAGES), socket.MSG_DONTWAIT))
        if took > 0:
            done += took
            deadline = None
            continue
        number = ctypes.get_errno()
        if number in lost:
            done, refused = done + 1, refused + 1
            continue
        if number not in _AGAIN:
            raise OSError(number, os.strerror(number))
        now = time.monotonic()
        deadline = now + patience_s if deadline is None else deadline
        if now >= deadline:
            break
        _wait(fileno, number, deadline - now)
    return Sent(done=done, refused=refused)


def _wait(fileno: int, number: int, most_s: float) -> None:
    if number == errno.EAGAIN:
        poll = select.poll()
        poll.register(fileno, select.POLLOUT)
        poll.poll(max(1, int(most_s * 1000)))
    elif number != errno.EINTR:  # a device's queue says nothing when it has room again
        time.sleep(min(RETRY_S, most_s))
