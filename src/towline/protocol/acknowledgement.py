# SPDX-License-Identifier: GPL-2.0-only
"""What sender.bpf.c makes of the ACKs of a session on delivery `direct`, for a batch of them: check, merge, sample."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from towline.protocol.heads import LOW, Words, ahead_of, check_of, lengths_in, words_of
from towline.protocol.sender import Acknowledged
from towline.protocol.window import BITMAP_WORDS, NO_INDICES, Indices, clear_bits, unwrap_all, word_numbers
from towline.wire import ACK, HEADER_BYTES, INDEX_MASK, body_mix

NEVER_US = -(1 << 62)
RTT_BUCKETS = 256
ACK_WORDS_MOST = 128
WORD_NUMBER_MASK = INDEX_MASK // 64
BODY_AT = HEADER_BYTES + ACK.itemsize
ONES = np.uint64(0xFFFFFFFFFFFFFFFF)
LEAST_STEP = -(1 << 31)  # of serial arithmetic
# Of those that LiveLane.counters() names, all but `sent`: NACKs are messages here, and there is no ring and no lock.
COUNTERS = ("acks", "nacks", "full_nacks", "ring_full", "impossible", "corrupt", "malformed", "contended")


class Cumulative(NamedTuple):
    """m ACKs: 32-bit values (m,) as on the wire, and the bytes behind the fixed body as they came (m, any)."""

    base: NDArray[np.uint32]
    limit: NDArray[np.uint32]
    highest: NDArray[np.uint32]
    first: NDArray[np.uint32]
    useless: NDArray[np.uint32]
    echo: NDArray[np.uint32]
    shown: Indices  # how many words of the bitmap each has
    bitmaps: NDArray[np.uint8]

    def only(self, chosen: NDArray[np.bool_]) -> Cumulative:
        """Some of them; all are the usual case, and cost nothing."""
        return self if chosen.all() else Cumulative._make(field[chosen] for field in self)


class Steps(NamedTuple):
    """What ACKs do to base and highest when they are taken one after the other, as distances from where both stood."""

    base: Indices  # of each ACK
    highest: Indices
    base_before: Indices  # where base stands when it comes
    highest_before: Indices
    taken: NDArray[np.bool_]  # none says less than one before it


class AcknowledgementState:
    """One lane's sending half. Indices never wrap; times are microseconds."""

    def __init__(self, *, window: int, first_index: int = 0) -> None:
        self.sent_end = first_index  # the caller's: every index below has left, or is about to
        self.base = self.highest = first_index
        self.limit = first_index + window
        self.useless = self.rtt_us = self.rtt_samples = 0
        self.rtt_histogram = np.zeros(RTT_BUCKETS, np.uint32)  # by bucket of rtt_bucket
        self._acknowledged = np.zeros(BITMAP_WORDS, np.uint64)  # a ring of words: bits at or above base
        self._shown_us = np.zeros(BITMAP_WORDS, np.uint32)  # the echo of the ACK that showed each word last
        self._counters = dict.fromkeys(COUNTERS, 0)

    def take(self, packets: NDArray[np.uint8], lengths: NDArray[np.integer], now_us: int) -> None:
        """A batch of ACKs of this session, in the order in which they came.

        `packets`: (n, width), towline's header first, n > 0, width at least HEADER_BYTES; `lengths`: (n,), the bytes
        received of each, at most width.
        """
        acks = self._possible(self._sound(packets, lengths))
        if not len(acks.base):
            return
        self._counters["acks"] += len(acks.base)
        self.limit += max(int(ahead_of(self.limit, acks.limit).max()), 0)
        self.useless += max(int(ahead_of(self.useless, acks.useless).max()), 0)
        steps = self._steps(acks)
        self._sample(acks.echo[_advances(steps) & (acks.echo != 0)], now_us)
        if steps.taken.any():
            self._merge(acks.only(steps.taken), Steps._make(field[steps.taken] for field in steps))

    def snapshot(self, now_us: int) -> Acknowledged:
        """The state as LaneSender takes it."""
        missing = shown_us = NO_INDICES
        if self.highest > self.base:
            numbers = word_numbers(self.base, self.highest)
            missing = clear_bits(self._acknowledged[numbers % BITMAP_WORDS], self.base, self.highest)
        if len(missing):
            shown = self._shown_us[(missing >> 6) % BITMAP_WORDS]
            shown_us = np.where(shown == 0, NEVER_US, unwrap_all(shown, now_us))
        return Acknowledged(
            base=self.base,
            limit=self.limit,
            highest=max(self.highest, self.base),
            useless=self.useless,
            acks=self._counters["acks"],
            rtt_us=self.rtt_us,
            rtt_samples=self.rtt_samples,
            missing=missing,
            shown_us=shown_us,
        )

    def counters(self) -> dict[str, int]:
        """What was heard, by kind and cause (names as in state.h)."""
        return dict(self._counters)

    # ---- check

    def _sound(self, packets: NDArray[np.uint8], lengths: NDArray[np.integer]) -> Cumulative:
        """Those that are whole and whose check is right; the others are counted."""
        words = words_of(packets)
        sizes = lengths_in(words)
        whole = sizes + HEADER_BYTES <= lengths
        if not whole.all():
            packets, words, sizes = self._counted("malformed", whole, packets, words, sizes)
        right = check_of(words, _body_sums(packets, sizes)) == words[2] & LOW
        if not right.all():
            packets, words, sizes = self._counted("corrupt", right, packets, words, sizes)
        long_enough = sizes >= ACK.itemsize  # a shorter one says nothing
        if not long_enough.all():
            packets, words, sizes = packets[long_enough], words[:, long_enough], sizes[long_enough]
        if not len(sizes):
            packets = np.empty((0, BODY_AT), np.uint8)  # may be narrower than an ACK
        limit, highest, first, useless = packets[:, HEADER_BYTES:BODY_AT].view(">u4").T.astype(np.uint32, order="C")
        return Cumulative(
            base=words[1].astype(np.uint32),
            limit=limit,
            highest=highest,
            first=first,
            useless=useless,
            echo=(words[2] >> np.uint64(32)).astype(np.uint32),
            shown=np.minimum((sizes - ACK.itemsize) // 8, ACK_WORDS_MOST),
            bitmaps=packets[:, BODY_AT:],
        )

    def _counted(
        self, cause: str, good: NDArray[np.bool_], packets: NDArray[np.uint8], words: Words, sizes: Indices
    ) -> tuple[NDArray[np.uint8], Words, Indices]:
        self._counters[cause] += len(good) - int(np.count_nonzero(good))
        return packets[good], words[:, good], sizes[good]

    def _possible(self, acks: Cumulative) -> Cumulative:
        """Those that speak of what was sent."""
        sent_end = np.array([self.sent_end & INDEX_MASK])
        possible = (ahead_of(acks.highest, sent_end) >= 0) & (ahead_of(acks.base, sent_end) >= 0)
        possible &= ahead_of(acks.base, acks.highest) >= 0
        self._counters["impossible"] += len(possible) - int(np.count_nonzero(possible))
        return acks.only(possible)

    # ---- merge

    def _steps(self, acks: Cumulative) -> Steps:
        base, highest = ahead_of(self.base, acks.base), ahead_of(self.highest, acks.highest)
        near = (acks.first - (acks.base >> 6)) & WORD_NUMBER_MASK < BITMAP_WORDS // 2
        base_before = _highest_before(np.where(near, base, LEAST_STEP))
        taken = near & (base >= base_before)
        return Steps(base, highest, base_before, _highest_before(np.where(taken, highest, LEAST_STEP)), taken)

    def _merge(self, acks: Cumulative, steps: Steps) -> None:
        """ACKs of which each says at least as much as the one before."""
        if acks.shown.any():
            self._show(acks)
        old, self.base = self.base, self.base + int(steps.base[-1])
        # While nothing is missing no bit stands above base: nothing to clear.
        if (old + steps.base_before < self.highest + steps.highest_before).any():
            passed = np.arange(old >> 6, min(self.base >> 6, (old >> 6) + BITMAP_WORDS)) % BITMAP_WORDS
            self._acknowledged[passed] = 0
            self._shown_us[passed] = 0  # an hour later an old stamp would look like a new one
            self._acknowledged[(self.base >> 6) % BITMAP_WORDS] &= ONES << np.uint64(self.base & 63)
        self.highest += max(int(steps.highest.max()), 0)

    def _show(self, acks: Cumulative) -> None:
        """OR the words into the ring; the last ACK that showed a word gives it its stamp."""
        most = int(acks.shown.max())
        words = acks.bitmaps[:, : 8 * most].view(">u8").astype(np.uint64)
        below = (acks.base & np.uint32(63)).astype(np.uint64)
        at_base = acks.first == acks.base >> np.uint32(6)
        words[:, 0] &= np.where(at_base, ONES << below, ONES)  # below base: another index's place
        numbers = (acks.first[:, None].astype(np.int64) + np.arange(most)) % BITMAP_WORDS
        stamps = np.broadcast_to(acks.echo[:, None], numbers.shape)
        said = np.arange(most) < acks.shown[:, None]
        np.bitwise_or.at(self._acknowledged, numbers[said], words[said])
        self._shown_us[numbers[said]] = stamps[said]

    def _sample(self, echoes: NDArray[np.uint32], now_us: int) -> None:
        if len(echoes):
            samples_us = np.uint32(now_us & INDEX_MASK) - echoes
            self.rtt_us = int(samples_us[-1])
            self.rtt_samples += len(samples_us)
            buckets = rtt_bucket(samples_us) % RTT_BUCKETS
            self.rtt_histogram += np.bincount(buckets, minlength=RTT_BUCKETS).astype(np.uint32)


def rtt_bucket(samples_us: NDArray[np.uint32]) -> Indices:
    """Octaves of eight steps each, as HdrHistogram has them; rtt_bucket of acknowledged.h: (n,) -> int64 (n,)."""
    us = samples_us.astype(np.int64)
    octave = np.frexp(us)[1] - 1  # of a power of two exactly
    steps = us >> np.maximum(octave - 3, 0) & 7
    return np.where(octave < 3, us, 8 * (octave - 2) + steps)


def _advances(steps: Steps) -> NDArray[np.bool_]:
    return (steps.base > steps.base_before) | (steps.highest > steps.highest_before)


def _highest_before(values: Indices) -> Indices:
    """The highest of all that stand before each, and of 0: (n,) -> (n,)."""
    before = np.zeros(len(values), np.int64)
    np.maximum.accumulate(values[:-1], out=before[1:])
    return np.maximum(before, 0)


def _body_sums(packets: NDArray[np.uint8], sizes: Indices) -> Words:
    """What the check covers of each body. A statement for each length: an ACK's words make it, so there are few."""
    if (sizes == sizes[:1]).all():
        return (
            body_mix(packets[:, HEADER_BYTES : HEADER_BYTES + int(sizes[0])]) if len(sizes) else sizes.view(np.uint64)
        )
    sums = np.zeros(len(sizes), np.uint64)
    for size in np.unique(sizes).tolist():
        same = sizes == size
        sums[same] = body_mix(packets[same, HEADER_BYTES : HEADER_BYTES + size])
    return sums
