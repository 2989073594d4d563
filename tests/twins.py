# SPDX-License-Identifier: GPL-2.0-only
"""Twins of the kernel's half, packet by packet: what receiver.h does to DATA and sender.bpf.c makes of an ACK.

Plain and exact, in the programs' own 32-bit arithmetic and with their names; packets are what stands behind a frame.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from towline.protocol.sender import Acknowledged
from towline.protocol.window import clear_bits, unwrap, unwrap_all
from towline.wire import DATA_LEAST_BYTES, HEADER_BYTES, MAGIC, Flag, Kind, Message, encode

WINDOW_MOST = 65536
BITMAP_WORDS = 2 * WINDOW_MOST // 64
WORD_MASK = 0xFFFFFFFF // 64  # word numbers are modulo 2^26
ACK_WORDS = 16
ACK_WORDS_MOST = 128
EXPAND_WORDS = 257
RANGES_MOST = 128
NEVER_US = -(1 << 62)
ONES = (1 << 64) - 1

Verdict = Literal["drop", "tx", "pass"]
Outcome = Literal["placed", "duplicates", "out_of_window", "ring_full", "malformed"]

_HEAD = struct.Struct(">BBHQIII")
_MIXED = struct.Struct(">QQ")
_ACK = struct.Struct(">IIII")
_RANGE = struct.Struct(">II")


def before(a: int, b: int) -> bool:
    """Serial arithmetic on 32 bits (RFC 1982)."""
    return (a - b) & 0xFFFFFFFF > 0x7FFFFFFF


def payload_sum(body: bytes) -> int:
    """The folded one's complement sum of RFC 1071; 2^16 is 1 modulo 65535, so a division does it."""
    number = int.from_bytes(body + bytes(len(body) & 1))
    return (number - 1) % 0xFFFF + 1 if number else 0


def body_mix(body: bytes) -> int:
    """What stands for the body of any other kind than DATA: its 64-bit words, one mixed into the other."""
    mixed = 0
    for at in range(0, len(body), 8):
        mixed = (mixed ^ int.from_bytes(body[at : at + 8].ljust(8, b"\0"))) * 0xD6E8FEB86659FD93 & ONES
        mixed ^= mixed >> 32
    return mixed & 0xFFFFFFFF


def header_check(packet: bytes, total: int) -> int:
    """check.h's mixing over the first 20 bytes of a packet and what stands for its body."""
    first: int
    second: int
    first, second = _MIXED.unpack_from(packet)
    third = int.from_bytes(packet[16:20]) << 32 | total
    mixed = first * 0x9E3779B97F4A7C15 & ONES
    mixed ^= mixed >> 32
    mixed = (mixed ^ second) * 0xBF58476D1CE4E5B9 & ONES
    mixed ^= mixed >> 29
    mixed = (mixed ^ third) * 0x94D049BB133111EB & ONES
    return (mixed ^ mixed >> 32) & 0xFFFFFFFF


def data_packet(session: int, index: int, payload: bytes, flags: int = 0, timestamp: int = 0) -> bytes:
    """A DATA packet as transmit.h builds it, padding included."""
    kind_flags = Kind.DATA << 4 | flags
    head = _HEAD.pack(MAGIC, kind_flags, len(payload), session, index & 0xFFFFFFFF, timestamp, 0)
    check = header_check(head, payload_sum(payload) if flags & Flag.CHECKSUM else 0)
    return head[:20] + check.to_bytes(4) + payload.ljust(DATA_LEAST_BYTES, b"\0")


@dataclass(kw_only=True)
class Placement:
    """One struct receiver_state and the program `receiver`. `store` is delivery.h: False where the ring is full.

    store(slot index modulo window, index, payload as far as it is committed, length that the header said).
    """

    session: int
    window: int
    payload_size: int
    ack_every: int
    ring: bool
    store: Callable[[int, int, bytes, int], bool]
    first_index: int = 0
    short_every: int = 0
    counters: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.drained = self.cursor = self.highest = self.ready = self.first_index & 0xFFFFFFFF
        self.advertised = (self.first_index + self.window) & 0xFFFFFFFF
        self.pending = self.next_word = self.records = 0
        self.told_full = False
        self.arrived = [0] * BITMAP_WORDS
        self.wanted: set[int] = set()  # indices modulo WINDOW_MOST
        names = ("placed", "duplicates", "useless", "out_of_window", "ring_full", "acks", "full_nacks")
        self.counters.update(dict.fromkeys((*names, "corrupt", "malformed", "strangers", "not_ours"), 0))

    # ---- receiver.h

    def receive(self, packet: bytes) -> tuple[Verdict, bytes | None]:
        """The verdict, and with "tx" the packet that goes back."""
        if len(packet) < HEADER_BYTES or packet[0] != MAGIC:
            return self._counted("not_ours", "pass")
        _, kind_flags, length, session, index, timestamp, check = _HEAD.unpack_from(packet)
        if session != self.session or kind_flags >> 4 != Kind.DATA:
            return self._counted("strangers", "pass")
        shortest = HEADER_BYTES + max(length, DATA_LEAST_BYTES)
        if not 1 <= length <= self.payload_size or len(packet) < shortest:
            return self._counted("malformed", "drop")
        flags = kind_flags & 0xF
        payload = packet[HEADER_BYTES : HEADER_BYTES + length]
        if header_check(packet, payload_sum(payload) if flags & Flag.CHECKSUM else 0) != check:
            return self._counted("corrupt", "drop")
        outcome = self.place(index, flags, payload)
        self.counters[outcome] += 1
        if outcome == "duplicates" and flags & Flag.AGAIN:
            self.counters["useless"] += 1
        self.pending += 1
        if self.pending >= self.ack_every or flags & Flag.FLUSH:
            return "tx", encode(self._acknowledgement(flags, len(packet), timestamp))
        if outcome == "ring_full" and not self.told_full:
            self.told_full = True
            self.counters["full_nacks"] += 1
            return "tx", encode(self._full(index, timestamp))
        return "drop", None

    def place(self, index: int, flags: int, payload: bytes) -> Outcome:
        """Decide, deliver, and last of all mark."""
        if before(index, self.drained):
            return "duplicates"
        if (index - self.drained) & 0xFFFFFFFF >= self.window:
            return "out_of_window"
        arrived = self.has_arrived(index)
        if arrived and not (flags & Flag.CHECKSUM and index % WINDOW_MOST in self.wanted):
            return "duplicates"
        if not self.deliver(index, payload):
            return "ring_full"
        if arrived:
            self.wanted.discard(index % WINDOW_MOST)
        else:
            self.mark_arrived(index)
        return "placed"

    def deliver(self, index: int, payload: bytes) -> bool:
        """delivery.h: every so manieth record is committed with half of its payload; a full ring does not count."""
        short = self.short_every and (self.records + 1) % self.short_every == 0
        committed = payload[: len(payload) // 2] if self.ring and short else payload
        if not self.store(index % self.window, index, committed, len(payload)):
            return False
        self.records += 1
        return True

    def want(self, indices: list[int]) -> None:
        """The program `want`."""
        self.wanted.update(index % WINDOW_MOST for index in indices)

    # ---- window.h

    def has_arrived(self, index: int) -> bool:
        if before(index, self.cursor):
            return True
        return before(index, self.highest) and bool(self.arrived[index // 64 % BITMAP_WORDS] >> index % 64 & 1)

    def mark_arrived(self, index: int) -> None:
        after = (index + 1) & 0xFFFFFFFF
        if index == self.highest == self.cursor:
            self.highest = self.cursor = after
            return
        self.arrived[index // 64 % BITMAP_WORDS] |= 1 << index % 64
        if not before(index, self.highest):
            self.highest = after

    def advance(self) -> None:
        """The cursor steps over set bits, and clears them."""
        for _ in range(BITMAP_WORDS // 2 + 1):
            word = self.cursor // 64 % BITMAP_WORDS
            ones = self.arrived[word] >> self.cursor % 64
            ones &= ~(ones + 1)
            self.arrived[word] &= ~(ones << self.cursor % 64)
            self.cursor = (self.cursor + ones.bit_count()) & 0xFFFFFFFF
            if not ones or self.cursor % 64:
                break

    # ---- acknowledge.h

    def _acknowledgement(self, flags: int, packet_bytes: int, timestamp: int) -> Message:
        self.pending = 0
        self.told_full = False
        self.counters["acks"] += 1
        if self.cursor != self.highest:
            self.advance()
        self.ready = self.cursor
        self.advertised = (self.drained + self.window) & 0xFFFFFFFF
        room = (packet_bytes - HEADER_BYTES - _ACK.size) // 8
        first, words = self._choose(min(room, ACK_WORDS_MOST if flags & Flag.FLUSH else ACK_WORDS))
        shown = b"".join(self.arrived[(first + i) % BITMAP_WORDS].to_bytes(8) for i in range(words))
        fields = {
            "limit": self.advertised,
            "highest": self.highest,
            "first": first,
            "useless": self.counters["useless"],
        }
        return Message(
            kind=Kind.ACK,
            session=self.session,
            index=self.cursor,
            timestamp=timestamp,
            fields=fields,
            tail=shown,
        )

    def _choose(self, most: int) -> tuple[int, int]:
        base = self.cursor // 64
        total = 0
        if self.highest != self.cursor:
            total = ((((self.highest - 1) & 0xFFFFFFFF) // 64 - base) & (BITMAP_WORDS - 1)) + 1
        if total <= most:
            return base, total
        if self.counters["acks"] % 4 == 0:
            return base, most
        ahead = (self.next_word - base) & WORD_MASK
        if ahead >= total:
            ahead = 0
        words = min(most, total - ahead)
        first = (base + ahead) & WORD_MASK
        self.next_word = first + words
        return first, words

    def _full(self, index: int, timestamp: int) -> Message:
        return Message(
            kind=Kind.NACK,
            flags=Flag.FULL,
            session=self.session,
            index=index,
            timestamp=timestamp,
            tail=_RANGE.pack(index, 1),
        )

    def _counted(self, cause: str, verdict: Verdict) -> tuple[Verdict, bytes | None]:
        self.counters[cause] += 1
        return verdict, None


class Cumulative(NamedTuple):
    """An ACK, as struct cumulative of acknowledged.h; base is the header's index, echo its timestamp."""

    base: int
    limit: int
    highest: int
    first: int
    useless: int
    words: tuple[int, ...]
    echo: int


@dataclass(kw_only=True)
class Acknowledgements:
    """One struct sender_state and what the program `sender` does with an ACK or a NACK.

    `submit(kind, flags, first, count)` is its ring buffer (delivery ring): False where it is full.
    """

    session: int
    window: int
    ring: bool
    submit: Callable[[int, int, int, int], bool]
    first_index: int = 0

    def __post_init__(self) -> None:
        self.base = self.highest = self.sent_end = self.first_index & 0xFFFFFFFF
        self.limit = (self.first_index + self.window) & 0xFFFFFFFF
        self.acks = self.nacks = self.full_nacks = self.ring_full = self.impossible = 0
        self.corrupt = self.malformed = self.strangers = self.not_ours = 0
        self.useless = self.rtt_us = self.rtt_samples = 0
        self.acknowledged = [0] * BITMAP_WORDS
        self.shown_us = [0] * BITMAP_WORDS

    # ---- sender.bpf.c

    def receive(self, packet: bytes, now: int) -> Verdict:
        """What becomes of a packet; `now` in microseconds."""
        if len(packet) < HEADER_BYTES or packet[0] != MAGIC:
            self.not_ours += 1
            return "pass"
        _, kind_flags, length, session, index, timestamp, check = _HEAD.unpack_from(packet)
        kind = kind_flags >> 4
        if session != self.session or not (kind == Kind.ACK or (kind == Kind.NACK and self.ring)):
            self.strangers += 1
            return "pass"
        body = packet[HEADER_BYTES : HEADER_BYTES + length]
        if len(body) < length:
            self.malformed += 1
        elif header_check(packet, body_mix(body)) != check:
            self.corrupt += 1
        elif kind == Kind.NACK:
            self._negative(body, kind_flags & 0xF)
        elif length >= _ACK.size:
            words = struct.unpack_from(f">{(length - _ACK.size) // 8}Q", body, _ACK.size)
            limit, highest, first, useless = _ACK.unpack_from(body)
            ack = Cumulative(index, limit, highest, first, useless, words, timestamp)
            self._acknowledged(ack, now & 0xFFFFFFFF)
        return "drop"

    def _acknowledged(self, ack: Cumulative, now: int) -> None:
        base = ack.base
        if before(self.sent_end, ack.highest) or before(self.sent_end, base) or before(ack.highest, base):
            self.impossible += 1
            return
        self.acks += 1
        if ack.echo and (before(self.base, base) or before(self.highest, ack.highest)):
            self.rtt_us = (now - ack.echo) & 0xFFFFFFFF
            self.rtt_samples += 1
        if before(self.limit, ack.limit):
            self.limit = ack.limit
        if before(self.useless, ack.useless):
            self.useless = ack.useless
        if before(base, self.base) or (ack.first - base // 64) & WORD_MASK >= BITMAP_WORDS // 2:
            return
        words = ack.words[:ACK_WORDS_MOST]
        if words and ack.first == base // 64:
            words = (words[0] & ONES << base % 64, *words[1:])  # below base: another index's place
        if self.ring:
            if not self._expand(base, ack.first, words, ack.echo):
                self.ring_full += 1
                return
        else:
            self._merge(base, ack.first, words, ack.echo)
        if before(self.highest, ack.highest):
            self.highest = ack.highest

    def _negative(self, body: bytes, flags: int) -> None:
        if flags & Flag.FULL:
            self.full_nacks += 1
        else:
            self.nacks += 1
        ranges = min(len(body) // 8, RANGES_MOST)
        for i in range(ranges):
            if not self.submit(Kind.NACK, flags, *_RANGE.unpack_from(body, 8 * i)):
                return

    # ---- acknowledged.h

    def _merge(self, base: int, first: int, words: tuple[int, ...], echo: int) -> None:
        for number, word in enumerate(words, first):
            self.acknowledged[number % BITMAP_WORDS] |= word
            self.shown_us[number % BITMAP_WORDS] = echo
        old, self.base = self.base, base
        if before(old, self.highest):
            word = old // 64
            while word != base // 64:
                self.acknowledged[word % BITMAP_WORDS] = self.shown_us[word % BITMAP_WORDS] = 0
                word = (word + 1) & WORD_MASK
            self.acknowledged[word % BITMAP_WORDS] &= ONES << base % 64

    def _expand(self, base: int, first: int, words: tuple[int, ...], echo: int) -> bool:
        for _ in range(EXPAND_WORDS):
            if not before(self.base, base):
                break
            last = self.base // 64 == base // 64
            placed = ONES << self.base % 64 & ONES & (~(ONES << base % 64) if last else ONES)
            if not self._expand_word(self.base // 64, placed):
                return False
            self.acknowledged[self.base // 64 % BITMAP_WORDS] &= ~placed
            if not last:
                self.shown_us[self.base // 64 % BITMAP_WORDS] = 0
            self.base = base if last else ((self.base | 63) + 1) & 0xFFFFFFFF
        if self.base != base:
            return False
        for number, word in enumerate(words, first):
            if not self._expand_word(number & WORD_MASK, word):
                return False
            self.shown_us[number % BITMAP_WORDS] = echo
        return True

    def _expand_word(self, number: int, placed: int) -> bool:
        fresh = placed & ~self.acknowledged[number % BITMAP_WORDS] & ONES
        while fresh:
            bit = fresh & -fresh
            if not self.submit(Kind.ACK, 0, number * 64 + bit.bit_length() - 1, 1):
                break
            fresh &= ~bit
        self.acknowledged[number % BITMAP_WORDS] |= placed & ~fresh
        return not fresh

    # ---- what the sending process makes of it on delivery direct

    def snapshot(self, near: int, now: int) -> Acknowledged:
        """The state as LaneSender takes it; `near`: the last snapshot's base, `now` in microseconds."""
        base, highest = unwrap(self.base, near), unwrap(self.highest, near)
        numbers = range(base >> 6, (highest + 63) >> 6)
        words = np.array([self.acknowledged[n % BITMAP_WORDS] for n in numbers], np.uint64)
        missing = clear_bits(words, base, highest)
        shown = np.array([self.shown_us[n % BITMAP_WORDS] for n in missing >> 6], np.uint32)
        return Acknowledged(
            base=base,
            limit=unwrap(self.limit, near),
            highest=max(highest, base),
            useless=self.useless,
            acks=self.acks,
            rtt_us=self.rtt_us,
            rtt_samples=self.rtt_samples,
            missing=missing,
            shown_us=np.where(shown == 0, NEVER_US, unwrap_all(shown, now)),
        )
