# SPDX-License-Identifier: GPL-2.0-only
"""One lane's acknowledgements: as XDP leaves them in memory or in a ring buffer, or as they come in at a socket."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from towline.kernel.memory import Ring
from towline.protocol.acknowledgement import COUNTERS, NEVER_US, AcknowledgementState
from towline.protocol.sender import Acknowledged
from towline.protocol.window import NO_INDICES, Indices, clear_bits, run_length, unwrap, unwrap_all, word_numbers
from towline.sockets.inbox import Inbox
from towline.wire import INDEX_MASK, Flag, Kind

NO_STAMPS = np.empty(0, np.uint32)
BATCH_RECORDS = 16384
BATCHES_MOST = 16  # taken from a socket in a row, before something is sent again


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What came since the last time: the state of the acknowledgements, and NACKs where XDP passes them."""

    known: Acknowledged
    reopened: tuple[tuple[int, int], ...] = ()  # (first, count) of NACKs, 32-bit
    ring_full: bool = False


class SharedAcknowledgements:
    """`state`: one struct sender_state, mapped; XDP writes what is read here."""

    def __init__(self, state: Any, window: int, first_index: int) -> None:
        self._state = state
        self._window = window
        self._last = {"base": first_index, "highest": first_index, "limit": first_index + window}

    def expect(self, sent_end: int) -> None:
        """Every index below may be spoken of from here on."""
        self._state["sent_end"] = sent_end & INDEX_MASK

    def counters(self) -> dict[str, int]:
        """What XDP heard, by kind and cause."""
        return {name: int(self._state[name]) for name in COUNTERS}

    def rtt_histogram(self) -> NDArray[np.uint32]:
        """Round-trip samples by bucket of `rtt_bucket` (acknowledged.h)."""
        histogram: NDArray[np.uint32] = self._state["rtt_histogram"].copy()
        return histogram

    def hear(self, now_us: int) -> Heard:
        """The state as it stands."""
        highest, low = self._read("highest"), self._read("base")
        if highest <= low:  # nothing is missing: the usual case, and a short one
            return Heard(known=self._known(low, low, NO_INDICES, NO_STAMPS, low, now_us))
        stamps = self._words("shown_us", low, highest)  # before the bits: XDP writes it behind them
        words = self._words("acknowledged", low, highest)
        base = self._read("base")  # once more, after the bits: XDP writes it before it clears them
        missing = clear_bits(words, low, highest)
        return Heard(known=self._known(base, highest, missing[missing >= base], stamps, low, now_us))

    def _known(
        self, base: int, highest: int, missing: Indices, stamps: NDArray[np.uint32], low: int, now_us: int
    ) -> Acknowledged:
        """`stamps`: the words' shown_us, from the word of `low` on."""
        state = self._state
        shown_us = NO_INDICES
        if len(missing):
            shown = stamps[(missing >> 6) - (low >> 6)]
            shown_us = np.where(shown == 0, NEVER_US, unwrap_all(shown, now_us))
        return Acknowledged(
            base=base,
            limit=self._read("limit"),
            highest=max(highest, base),
            useless=int(state["useless"]),
            acks=int(state["acks"]),
            rtt_us=int(state["rtt_us"]),
            rtt_samples=int(state["rtt_samples"]),
            missing=missing,
            shown_us=shown_us,
        )

    def _read(self, name: str) -> int:
        """An index; they only grow."""
        self._last[name] = unwrap(int(self._state[name]), self._last[name])
        return self._last[name]

    def _words(self, name: str, low: int, high: int) -> Any:
        ring = self._state[name]
        return ring[word_numbers(low, high) % len(ring)]


class RingAcknowledgements(SharedAcknowledgements):
    """Each packet's acknowledgement is a record of its own, and NACKs come the same way."""

    def __init__(self, state: Any, window: int, first_index: int, ring: Ring) -> None:
        super().__init__(state, window, first_index)
        self._ring = ring
        self._placed = np.zeros(window, np.bool_)  # by slot, at or above front
        self._placed_above = False  # whether any is set
        self._front = first_index

    def hear(self, now_us: int) -> Heard:
        """Take the records over. What the state says is read before them, so that they say at least as much."""
        low, highest = self._front, max(self._read("highest"), self._front)
        stamps = self._words("shown_us", low, highest)
        reopened: list[tuple[int, int]] = []
        full = False
        taken = BATCH_RECORDS
        while taken == BATCH_RECORDS:  # fewer: that was all when it was looked at
            records, keep = self._ring.batch(BATCH_RECORDS)
            taken = len(records)
            records = records if keep is None else records[keep]
            if not self._take_run(records):
                others = self._take(records)
                full = full or bool((others["flags"] & Flag.FULL).any())
                ranges = others[others["flags"] & Flag.FULL == 0]
                reopened += zip(ranges["first"].tolist(), ranges["count"].tolist(), strict=True)
            self._ring.release(taken)
        span = np.arange(self._front, highest)
        missing = span[~self._placed[span % self._window]]
        known = self._known(self._front, highest, missing, stamps, low, now_us)
        return Heard(known=known, reopened=tuple(reopened), ring_full=full)

    def _take_run(self, records: Any) -> bool:
        """Whether the records are what they mostly are, the next packets in order: then no slot need be marked."""
        if self._placed_above:
            return False
        # kind, flags and first are the record's first eight bytes: one comparison for all three
        firsts = np.arange(self._front, self._front + len(records), dtype=np.uint64)
        if not np.array_equal(records.getfield(np.dtype("<u8"), 0), firsts << np.uint64(32) | np.uint64(Kind.ACK)):
            return False
        self._front += len(records)
        return True

    def _take(self, records: Any) -> Any:
        """Mark what is acknowledged; returns the other records: ranges of NACKs."""
        acks = records["kind"] == Kind.ACK
        self._placed[unwrap_all(records["first"][acks], self._front) % self._window] = True
        length = run_length(self._placed, self._front, self._window)
        self._placed[np.arange(self._front, self._front + length) % self._window] = False
        self._placed_above = bool(self._placed.any())
        self._front += length
        return records[~acks]


class SocketAcknowledgements:
    """Whichever lane looks takes what is there from the socket, for itself and for the others."""

    def __init__(self, state: AcknowledgementState, inbox: Inbox) -> None:
        self._state = state
        self._inbox = inbox
        self._lock = threading.Lock()

    def take(self, packets: NDArray[np.uint8], lengths: NDArray[np.int64], now_us: int) -> None:
        """A batch of ACKs; from any lane's thread."""
        with self._lock:
            self._state.take(packets, lengths, now_us)

    def expect(self, sent_end: int) -> None:
        """Every index below may be spoken of from here on."""
        self._state.sent_end = sent_end

    def hear(self, now_us: int) -> Heard:
        """The state as it stands."""
        for _ in range(BATCHES_MOST):
            if not self._inbox.pump():
                break
        with self._lock:
            return Heard(known=self._state.snapshot(now_us))

    def counters(self) -> dict[str, int]:
        """What was heard, by kind and cause."""
        return self._state.counters()

    def rtt_histogram(self) -> NDArray[np.uint32]:
        """Round-trip samples by bucket of `rtt_bucket` (acknowledged.h)."""
        return self._state.rtt_histogram
