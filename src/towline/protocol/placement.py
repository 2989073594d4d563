# SPDX-License-Identifier: GPL-2.0-only
"""What receiver.h does to the DATA packets of a session, for a batch of them: check, place, mark, acknowledge.

One thread does everything, so there is no lock, and no ring buffer that could be full.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from towline.protocol.heads import (
    HIGH,
    LOW,
    NO_SUM,
    Words,
    ahead_of,
    check_of,
    compose,
    has_flag,
    lengths_in,
    words_of,
    write_words,
)
from towline.protocol.window import NO_INDICES, Indices, run_length
from towline.settings import WINDOW_MOST
from towline.slots import Slots
from towline.wire import ACK, DATA_LEAST_BYTES, HEADER_BYTES, INDEX_MASK, Flag, Kind, body_mix, payload_sums

Flags = NDArray[np.bool_]
Replies = NDArray[np.uint8]  # k encoded packets of one length: (k, bytes)

ACK_WORDS = 16  # an ACK shows at most so many words of the bitmap,
ACK_WORDS_MOST = 128  # the answer to a FLUSH more; as in acknowledge.h
WORD_NUMBER_MASK = INDEX_MASK // 64
BASE_SHOWN_EVERY = 4
BODY_AT = HEADER_BYTES + ACK.itemsize
COUNTERS = (
    *("placed", "duplicates", "useless", "out_of_window", "ring_full", "acks", "full_nacks"),
    *("corrupt", "malformed", "contended"),
)


class Batch(NamedTuple):
    """Packets (n, width), the bytes received of each (n,), and their headers (3, n)."""

    packets: NDArray[np.uint8]
    lengths: Indices
    words: Words

    def only(self, chosen: Flags) -> Batch:
        """Some of them, copied: for the rare batch that has something wrong in it."""
        return Batch(self.packets[chosen], self.lengths[chosen], self.words[:, chosen])


class Placement:
    """One lane's receiving half; the methods that `delivery.Delivery` names do what it says. Indices never wrap."""

    def __init__(
        self, *, session: int, window: int, payload_size: int, ack_every: int, slots: Slots, first_index: int = 0
    ) -> None:
        """`slots`: of that window and payload size, a power of two from 64 to WINDOW_MOST packets."""
        self.slots = slots
        self.advertised = first_index + window  # the limit of the last ACK
        self.highest = first_index  # the highest index seen, exclusive
        self.ready = first_index  # every packet below has been placed
        self._session = session
        self._window = window
        self._payload_size = payload_size
        self._ack_every = ack_every
        self._drained = first_index
        self._rows = slots.rows()
        # By index: set from `ready` to `highest` only. Twice the window, so that no two bitmap words share a place.
        self._arrived = np.zeros(2 * window, np.bool_)
        self._wanted = np.zeros(WINDOW_MOST, np.bool_)  # by index: taken back, and not replaced
        self._wanted_count = 0
        self._pending = 0  # packets since the last ACK
        self._choices = 0  # how often words of the bitmap were chosen
        self._next_word = 0  # the first that is shown next, where not all fit
        self._counters = dict.fromkeys(COUNTERS, 0)

    def take(self, packets: NDArray[np.uint8], lengths: NDArray[np.integer]) -> Replies | None:
        """A batch of DATA packets of this session as they came; the ACKs that are due, ready to be sent.

        `packets`: (n, width), towline's header first, n > 0, width at least HEADER_BYTES; `lengths`: (n,), the bytes
        received of each, at most width. All ACKs tell the state after the whole batch, each with the timestamp of the
        packet that was due it, and none is longer than that packet.
        """
        batch = self._sound(Batch(packets, lengths.astype(np.int64, copy=False), words_of(packets)))
        if not len(batch.lengths):
            return None
        flags = int(np.bitwise_or.reduce(batch.words[0])) >> 48  # of all together: most batches have none
        self._place(batch, flags)
        due = self._due(batch.words, bool(flags & Flag.FLUSH))
        return self._answer(batch, due) if len(due) else None

    # ---- what the process says

    def drained(self, index: int) -> None:
        """Everything below, all of it placed, may be overwritten."""
        assert self._drained <= index <= self.ready
        self._drained = index

    def take_back(self, indices: Indices) -> None:
        """What these slots hold is of no use: only a packet that is covered by its check may fill them now."""
        self._wanted[indices % WINDOW_MOST] = True
        self._wanted_count = int(np.count_nonzero(self._wanted))

    def wanted(self) -> Indices:
        """Packets taken back that have not been replaced yet; ascending."""
        if not self._wanted_count:
            return NO_INDICES
        window = np.arange(self._drained, min(self._drained + self._window, self.highest))
        return window[self._wanted[window % WINDOW_MOST]]

    def counters(self) -> dict[str, int]:
        """What became of the packets, by cause (names as in state.h)."""
        return dict(self._counters)

    # ---- check

    def _sound(self, batch: Batch) -> Batch:
        """Those that contradict themselves and those whose check fails are counted, and nobody's."""
        sizes = lengths_in(batch.words)
        whole = (sizes > 0) & (sizes <= self._payload_size)
        whole &= np.maximum(sizes, DATA_LEAST_BYTES) + HEADER_BYTES <= batch.lengths
        if not whole.all():
            batch = self._counted(batch, whole, "malformed")
        right = check_of(batch.words, _sums(batch)) == batch.words[2] & LOW
        return batch if right.all() else self._counted(batch, right, "corrupt")

    def _counted(self, batch: Batch, good: Flags, cause: str) -> Batch:
        self._counters[cause] += len(good) - int(np.count_nonzero(good))
        return batch.only(good)

    # ---- place

    def _place(self, batch: Batch, flags: int) -> None:
        """Decide, copy, and last of all mark. `flags`: of all packets together."""
        ahead = ahead_of(self._drained, batch.words[1])
        first, count = int(ahead[0]), len(ahead)
        is_next = self.ready == self.highest == self._drained + first
        if is_next and first + count <= self._window and (ahead == np.arange(first, first + count)).all():
            self._store(batch.packets, self.highest)
            self.ready = self.highest = self.highest + count
            self._counters["placed"] += count
            return
        inside, indices = (ahead >= 0) & (ahead < self._window), self._drained + ahead
        arrived = (indices < self.ready) | self._arrived[indices % len(self._arrived)]
        fresh = _firsts(indices, np.flatnonzero(inside & ~arrived))
        self._scatter(batch.packets, fresh, indices)
        again = NO_INDICES
        if self._wanted_count and flags & Flag.CHECKSUM:
            again = self._refill(batch, inside, indices, fresh)
        if len(fresh):
            self._mark(indices[fresh])
        beyond = ahead >= self._window
        there = ~beyond  # before they came
        there[fresh] = there[again] = False
        self._counters["placed"] += len(fresh) + len(again)
        self._counters["out_of_window"] += int(np.count_nonzero(beyond))
        self._counters["duplicates"] += int(np.count_nonzero(there))
        if flags & Flag.AGAIN:
            self._counters["useless"] += int(np.count_nonzero(there & has_flag(batch.words, Flag.AGAIN)))

    def _refill(self, batch: Batch, inside: Flags, indices: Indices, fresh: Indices) -> Indices:
        """Of what has arrived and is wanted, the first that its check covers; after `fresh`, as that came before it."""
        fit = inside & self._wanted[indices % WINDOW_MOST] & has_flag(batch.words, Flag.CHECKSUM)
        fit[fresh] = False
        again = _firsts(indices, np.flatnonzero(fit))
        self._scatter(batch.packets, again, indices)
        self._wanted[indices[again] % WINDOW_MOST] = False
        self._wanted_count -= len(again)
        return again

    def _mark(self, indices: Indices) -> None:
        """Bits above `ready`; then it steps over those that are set, and clears them."""
        ring = self._arrived
        ring[indices % len(ring)] = True
        self.highest = max(self.highest, int(indices.max()) + 1)
        run = run_length(ring, self.ready, self.highest - self.ready)
        if run:
            start = self.ready % len(ring)
            ring[start : start + run] = False
            ring[: max(start + run - len(ring), 0)] = False
            self.ready += run

    def _store(self, packets: NDArray[np.uint8], first: int) -> None:
        """A run of packets, from index `first` on. What stands in a slot behind a shorter packet is nobody's."""
        payloads = packets[:, HEADER_BYTES : HEADER_BYTES + self._payload_size]
        width, start = payloads.shape[1], first % self._window
        straight = min(len(payloads), self._window - start)
        self._rows[start : start + straight, :width] = payloads[:straight]
        if straight < len(payloads):
            self._rows[: len(payloads) - straight, :width] = payloads[straight:]

    def _scatter(self, packets: NDArray[np.uint8], chosen: Indices, indices: Indices) -> None:
        """Some packets, each into its slot."""
        if not len(chosen):
            return
        payloads = packets[:, HEADER_BYTES : HEADER_BYTES + self._payload_size]
        if len(chosen) < len(packets):
            payloads = payloads[chosen]
        self._rows[indices[chosen] % self._window, : payloads.shape[1]] = payloads

    # ---- acknowledge

    def _due(self, words: Words, any_flush: bool) -> Indices:
        """Which packets are to be answered: every `ack_every`-th since the last answer, and FLUSH."""
        count, before = words.shape[1], -1 - self._pending  # where the last answer was
        if not any_flush:
            self._pending = (self._pending + count) % self._ack_every
            return np.arange(self._ack_every + before, count, self._ack_every)
        at, flush = np.arange(count), has_flag(words, Flag.FLUSH)
        last = np.full(count + 1, before)  # the last FLUSH before each packet, and before the next batch
        np.maximum.accumulate(np.where(flush, at, before), out=last[1:])
        self._pending = (count - 1 - int(last[-1])) % self._ack_every
        return np.flatnonzero(flush | ((at - last[:-1]) % self._ack_every == 0))

    def _answer(self, batch: Batch, due: Indices) -> Replies:
        """The ACKs for these packets."""
        self._counters["acks"] += len(due)
        self.advertised = self._drained + self._window
        asked = batch.words[:, due]
        room = (int(batch.lengths[due].min()) - BODY_AT) // 8
        # One by one they would show so many: here they all show the same.
        most = ACK_WORDS_MOST if has_flag(asked, Flag.FLUSH).any() else min(ACK_WORDS * len(due), ACK_WORDS_MOST)
        first, shown = self._choose(min(room, most))
        body = np.empty((1, ACK.itemsize + 8 * shown), np.uint8)
        fields = (self.advertised, self.highest, first, self._counters["useless"])
        body[0, : ACK.itemsize].view(">u4")[:] = [value & INDEX_MASK for value in fields]
        if shown:
            body[0, ACK.itemsize :].view(">u8")[:] = self._bitmap(first, shown)
        heads = compose(
            kind=Kind.ACK,
            length=body.shape[1],
            session=self._session,
            index=self.ready,
            timestamps=asked[2] & HIGH,
        )
        heads[2] |= check_of(heads, body_mix(body))
        replies = np.empty((len(due), HEADER_BYTES + body.shape[1]), np.uint8)
        write_words(replies, heads)
        replies[:, HEADER_BYTES:] = body
        return replies

    def _bitmap(self, first: int, count: int) -> Words:
        """So many words, from number `first` on."""
        ring, start, size = self._arrived, 64 * first % len(self._arrived), 64 * count
        bits = ring[start : start + size]
        if len(bits) < size:
            bits = np.concatenate((bits, ring[: size - len(bits)]))
        return np.packbits(bits, bitorder="little").view(np.uint64)

    def _choose(self, most: int) -> tuple[int, int]:
        """The words of the bitmap to show, as (first, count), at most so many; choose_words of acknowledge.h.

        Where not all fit, every fourth choice is those next to base, and the others go round.
        """
        base = self.ready >> 6
        total = ((self.highest - 1) >> 6) - base + 1 if self.highest != self.ready else 0
        self._choices += 1
        if total <= most or self._choices % BASE_SHOWN_EVERY == 0:
            return base & WORD_NUMBER_MASK, min(total, most)
        ahead = (self._next_word - base) & WORD_NUMBER_MASK
        if ahead >= total:
            ahead = 0
        shown = min(most, total - ahead)
        self._next_word = base + ahead + shown
        return base + ahead & WORD_NUMBER_MASK, shown


def _firsts(indices: Indices, chosen: Indices) -> Indices:
    """Of the chosen packets the first with each index, in the order in which they came."""
    if len(chosen) < 2:
        return chosen
    picked = indices[chosen]
    if (picked[1:] > picked[:-1]).all():
        return chosen
    return chosen[np.sort(np.unique(picked, return_index=True)[1])]


def _sums(batch: Batch) -> Words | np.uint64:
    """What the check covers of each payload: its sum where CHECKSUM stands, else 0."""
    covered = has_flag(batch.words, Flag.CHECKSUM)
    if not covered.any():
        return NO_SUM
    sizes = lengths_in(batch.words)[covered]
    most = int(sizes.max())
    payloads = batch.packets[:, HEADER_BYTES : HEADER_BYTES + most]
    if not covered.all() or sizes.min() < most:
        payloads = payloads[covered]
        short = sizes < most  # zeros behind a payload do not change its sum
        payloads[short] *= np.arange(most) < sizes[short, None]
    sums = np.zeros(len(covered), np.uint64)
    sums[covered] = payload_sums(payloads)
    return sums
