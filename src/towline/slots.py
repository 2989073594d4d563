# SPDX-License-Identifier: GPL-2.0-only
"""A lane's payload memory: a slot per packet of the window, back to back: a run of packets is a run of bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SLACK_BYTES = 4096  # behind the last slot, so that one comparison in a program bounds every copy; as in state.h


def memory_bytes(window: int, payload_size: int) -> int:
    """Bytes of the map's value that holds a window of slots."""
    return -(-window * payload_size // 8) * 8 + SLACK_BYTES


class Slots:
    """`memory`: uint8, at least window * payload_size bytes; packet i stands in slot i modulo window."""

    def __init__(self, memory: NDArray[np.uint8], *, window: int, payload_size: int) -> None:
        self.window = window
        self.payload_size = payload_size
        self._bytes = memory[: window * payload_size]

    def pieces(self, first: int, skip: int, size: int) -> list[NDArray[np.uint8]]:
        """Views (at most two) of `size` bytes from byte `skip` behind the start of packet `first` on."""
        total = self.window * self.payload_size
        start = (first % self.window * self.payload_size + skip) % total
        straight = min(size, total - start)
        views = [self._bytes[start : start + straight], self._bytes[: size - straight]]
        return [view for view in views if len(view)]

    def rows(self) -> NDArray[np.uint8]:
        """All slots: shape (window, payload_size)."""
        return self._bytes.reshape(self.window, self.payload_size)


def scatter(views: list[NDArray[np.uint8]], data: bytes | NDArray[Any]) -> None:
    """Copy bytes into views that together are as long."""
    raw = np.frombuffer(data, np.uint8)
    at = 0
    for view in views:
        view[:] = raw[at : at + len(view)]
        at += len(view)


def gather(views: list[NDArray[np.uint8]]) -> bytes:
    """The bytes of views, joined: for small pieces."""
    return b"".join(view.tobytes() for view in views)
