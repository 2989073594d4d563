# SPDX-License-Identifier: GPL-2.0-only
"""What both deliveries from XDP share: one lane's state in memory that the kernel sees."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from towline.kernel.live import run_syscall
from towline.protocol.opening import Terms
from towline.protocol.placement import COUNTERS
from towline.protocol.window import NO_INDICES, Indices, set_bits, unwrap, word_numbers
from towline.wire import INDEX_MASK

_WANT = struct.Struct("=IIQ")  # struct want of state.h


class SharedState:
    """`state`: one struct receiver_state, mapped. Every word has one writer; this side writes `drained` only."""

    def __init__(
        self, state: Any, slot: int, want_fd: int, terms: Terms, first_index: int, *, resumed: bool = False
    ) -> None:
        """`resumed`: another process has begun; `first_index` is then what it has drained."""
        self._state = state
        self._slot = slot
        self._want_fd = want_fd
        self._window = terms.window
        self._drained = self._ready = self._highest = first_index
        self._advertised = first_index + terms.window
        self._may_want = resumed

    @property
    def placed(self) -> int:
        """Everything below has been placed by XDP."""
        self._ready = unwrap(int(self._state["ready"]), self._ready)
        return self._ready

    @property
    def highest(self) -> int:
        """The highest index seen, exclusive."""
        self._highest = unwrap(int(self._state["highest"]), self._highest)
        return self._highest

    @property
    def advertised(self) -> int:
        """The limit of the last ACK that XDP bounced."""
        self._advertised = unwrap(int(self._state["advertised"]), self._advertised)
        return self._advertised

    def drained(self, index: int) -> None:
        """Everything below may be overwritten."""
        self._drained = index
        self._state["drained"] = index & INDEX_MASK

    def counters(self) -> dict[str, int]:
        """What became of the lane's packets, by cause."""
        return {name: int(self._state[name]) for name in COUNTERS}

    def want(self, indices: Indices) -> None:
        """Set the wanted bits of ascending indices, by a program: memory shared with XDP knows no atomic OR here."""
        self._may_want = self._may_want or len(indices) > 0
        words = len(self._state["wanted"])
        for number in np.unique(indices >> 6).tolist():
            bits = np.bitwise_or.reduce(np.uint64(1) << (indices[indices >> 6 == number] & 63).astype(np.uint64))
            run_syscall(self._want_fd, _WANT.pack(self._slot, number % words, int(bits)))

    def placed_indices(self) -> Indices:
        """Every index in the window that XDP says has arrived, ascending."""
        low, high = self._drained, min(self._drained + self._window, self.highest)
        bitmap = self._state["arrived"]
        found = set_bits(bitmap[word_numbers(low, high) % len(bitmap)], low, high)
        cursor = unwrap(int(self._state["cursor"]), self._drained)  # behind the bits, which are cleared as it passes
        below = np.arange(low, max(low, min(cursor, high)))
        return np.concatenate((below, found[found >= cursor]))

    def wanted_bits(self) -> Indices:
        """The indices in the window whose wanted bit is set."""
        if not self._may_want:
            return NO_INDICES
        low, high = self._drained, min(self._drained + self._window, self.highest)
        bitmap = self._state["wanted"]
        found = set_bits(bitmap[word_numbers(low, high) % len(bitmap)], low, high)
        self._may_want = len(found) > 0
        return found
