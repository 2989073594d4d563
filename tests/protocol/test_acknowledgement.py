# SPDX-License-Identifier: GPL-2.0-only
"""The sending half in batches against its twin that takes ACK by ACK; and the buckets of round trips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests import twins
from tests.protocol.test_placement import stack
from towline.protocol.acknowledgement import RTT_BUCKETS, AcknowledgementState, rtt_bucket
from towline.protocol.sender import Acknowledged
from towline.wire import HEADER_BYTES, Kind, Message, encode

SESSION = 0x1234_5678_9ABC_0007
WRAP = 1 << 32
ONES = (1 << 64) - 1
COUNTERS = ("acks", "nacks", "full_nacks", "ring_full", "impossible", "corrupt", "malformed")


def ack(base: int, highest: int | None = None, *words: int, **more: int) -> bytes:
    """An ACK; without `first` its words begin with the one that holds base."""
    fields = {
        "limit": more.get("limit", base + 64) % WRAP,
        "highest": (base if highest is None else highest) % WRAP,
        "first": more.get("first", base // 64) % (1 << 26),
        "useless": more.get("useless", 0) % WRAP,
    }
    tail = b"".join(word.to_bytes(8) for word in words)
    timestamp = more.get("timestamp", 0)
    return encode(
        Message(kind=Kind.ACK, session=SESSION, index=base % WRAP, timestamp=timestamp, fields=fields, tail=tail)
    )


class Both:
    """The twin and the batches on the same ACKs."""

    def __init__(self, *, window: int = 64, first_index: int = 0, sent: int = 64) -> None:
        self.state = AcknowledgementState(window=window, first_index=first_index)
        self.twin = twins.Acknowledgements(
            session=SESSION, window=window, ring=False, submit=lambda *_: False, first_index=first_index
        )
        self.samples_us: list[int] = []
        self.one_by_one = True
        self.sent(first_index + sent)

    def sent(self, end: int) -> None:
        self.state.sent_end, self.twin.sent_end = end, end % WRAP

    def hear(self, *packets: bytes, now: int = 1000) -> Acknowledged:
        """A batch; compared, to the last bit as long as packets come one by one."""
        near = self.state.base
        for packet in packets:
            before = self.twin.rtt_samples
            self.twin.receive(packet, now)
            if self.twin.rtt_samples != before:
                self.samples_us.append(self.twin.rtt_us)
        self.state.take(*stack(list(packets)), now)
        self.one_by_one = self.one_by_one and len(packets) == 1
        self._same()
        return self._same_snapshot(near, now)

    def _same(self) -> None:
        ours, twin = self.state, self.twin
        assert {name: ours.counters()[name] for name in COUNTERS} == {name: getattr(twin, name) for name in COUNTERS}
        numbers = ("base", "limit", "highest", "useless", "rtt_us", "rtt_samples")
        assert {name: getattr(ours, name) % WRAP for name in numbers} == {name: getattr(twin, name) for name in numbers}
        assert np.array_equal(ours._acknowledged, np.array(twin.acknowledged, np.uint64))
        shown = np.array(twin.shown_us, np.uint32)
        numbers_above = np.arange(ours.base >> 6, (ours.base >> 6) + len(shown) // 2) % len(shown)
        assert np.array_equal(ours._shown_us[numbers_above], shown[numbers_above])
        # Below base a batch clears stamps that the twin leaves where, between two of its ACKs, nothing was missing.
        assert not self.one_by_one or np.array_equal(ours._shown_us, shown)
        buckets = np.bincount([bucket_of(us) for us in self.samples_us] or [0], minlength=RTT_BUCKETS)
        assert ours.rtt_histogram.sum() == len(self.samples_us)
        assert not self.samples_us or np.array_equal(ours.rtt_histogram, buckets)

    def _same_snapshot(self, near: int, now: int) -> Acknowledged:
        ours, theirs = self.state.snapshot(now), self.twin.snapshot(near, now)
        for name in ("base", "limit", "highest", "useless", "acks", "rtt_us", "rtt_samples"):
            assert getattr(ours, name) == getattr(theirs, name), name
        assert np.array_equal(ours.missing, theirs.missing)
        assert np.array_equal(ours.shown_us, theirs.shown_us)
        return ours


def bucket_of(us: int) -> int:
    """rtt_bucket() of acknowledged.h, with what Python has for a logarithm."""
    octave = max(us.bit_length() - 1, 0)
    return (us if octave < 3 else 8 * (octave - 2) + (us >> octave - 3 & 7)) % RTT_BUCKETS


@given(st.lists(st.integers(0, WRAP - 1), min_size=1, max_size=20))
@example([0, 1, 7, 8, 9, 15, 16, WRAP - 1, *(1 << n for n in range(32)), *((1 << n) - 1 for n in range(32))])
def test_rtt_bucket__is_the_one_of_the_program(samples_us: list[int]) -> None:
    assert rtt_bucket(np.array(samples_us, np.uint32)).tolist() == [bucket_of(us) for us in samples_us]


# ---- one by one, and together


@pytest.mark.parametrize("together", [False, True])
def test_take__merges_what_acks_say(together: bool) -> None:
    both = Both()
    packets = [ack(3, 9, 0b101010000, timestamp=900), ack(6, 9, 0b001000000, timestamp=950)]  # 4, 6 and 8; 6
    for batch in [packets] if together else [[packet] for packet in packets]:
        known = both.hear(*batch)
    assert known.missing.tolist() == [7]
    assert known.shown_us.tolist() == [950]
    assert (known.base, known.highest, known.acks, known.rtt_us, known.rtt_samples) == (6, 9, 2, 50, 2)


def test_take__nothing_missing_in_batches_goes_round_the_ring() -> None:
    both = Both(window=65536, first_index=WRAP - 1000)
    for base in range(WRAP - 1000, WRAP + 200_000, 2048):
        both.sent(base + 2048)
        both.hear(*(ack(base + 32 * n, timestamp=7) for n in range(64)))
    assert both.state.snapshot(1000).missing.size == 0


def test_take__bits_below_base_are_nobodys() -> None:
    both = Both()
    both.hear(ack(8, 12, 0b1000_1111_1111))
    assert both.state._acknowledged[0] == 0b1000 << 8


def test_take__an_old_one_does_no_harm() -> None:
    both = Both()
    both.hear(ack(20, 40, 1 << 30, timestamp=1), ack(10, 30, 1 << 25, limit=90, timestamp=1))
    assert (both.state.base, both.state.highest, both.state.limit) == (20, 40, 90)
    assert both.state.rtt_samples == 1
    assert 25 in both.state.snapshot(1000).missing


def test_take__words_far_from_base_move_nothing_but_the_limit() -> None:
    both = Both(window=65536, sent=65536)
    both.hear(ack(9, 700, ONES, first=1024, limit=65600), ack(6, 700, ONES, first=1023))
    assert both.state.base == 6
    assert both.state.limit == 65600


@pytest.mark.parametrize(
    ("base", "highest"), [(0, 65), (65, 65), (5, 4), (1 << 31, 20), (0, 1 << 31), (100, (1 << 31) + 99)], ids=str
)
def test_take__of_what_was_never_sent_is_impossible(base: int, highest: int) -> None:
    both = Both()
    both.hear(ack(base, highest, ONES, limit=1000, useless=9, timestamp=1))
    both.hear(ack(base, highest, ONES, limit=1000, useless=9, timestamp=1), ack(3, 4, 0))
    assert both.state.counters()["impossible"] == 2
    assert (both.state.base, both.state.useless) == (3, 0)


def test_take__damage_and_what_is_cut_off() -> None:
    both = Both()
    good, packet = ack(1, 3, 2), ack(20, 30, 1 << 25)
    flipped = [packet[:at] + bytes([packet[at] ^ 4]) + packet[at + 1 :] for at in (13, 17, 21, 25, 33, len(packet) - 1)]
    both.hear(good, *flipped, packet[:-1], packet[:HEADER_BYTES])
    assert both.state.counters() == {
        "acks": 1, "nacks": 0, "full_nacks": 0, "ring_full": 0, "impossible": 0, "corrupt": 6, "malformed": 2,
        "contended": 0,
    }  # fmt: skip
    both.hear(packet[:HEADER_BYTES], packet[: HEADER_BYTES + 3])  # a batch that is narrower than any ACK
    assert both.state.base == 1


def test_take__an_ack_without_its_fixed_body_says_nothing() -> None:
    both = Both()
    short = encode(Message(kind=Kind.NACK, session=SESSION, index=9, tail=bytes(8)))
    short = twins_resealed(bytes([short[0], Kind.ACK << 4]) + short[2:])
    both.hear(short)
    both.hear(short, ack(3))
    assert (both.state.counters()["acks"], both.state.base) == (1, 3)


def twins_resealed(packet: bytes) -> bytes:
    """With a check that is right."""
    check = twins.header_check(packet, twins.body_mix(packet[HEADER_BYTES:]))
    return packet[:20] + check.to_bytes(4) + packet[HEADER_BYTES:]


def test_take__trailing_padding_is_not_the_body() -> None:
    both = Both()
    both.hear(ack(4, 4) + bytes(6), ack(5, 5) + b"\xff" * 6)
    assert both.state.base == 5


def test_snapshot__what_was_never_shown_is_unknown() -> None:
    both = Both(window=1024, sent=1024)
    known = both.hear(ack(5, 200, 0, first=1, timestamp=77))
    shown = dict(zip(known.missing.tolist(), known.shown_us.tolist(), strict=True))
    assert (shown[63], shown[64], shown[127], shown[128]) == (twins.NEVER_US, 77, 77, twins.NEVER_US)


# ---- random histories


@dataclass(frozen=True)
class Ack:
    """As shares of what is in flight when it comes, in 256ths; `skip`: words between base's and the first shown."""

    base: int
    highest: int
    skip: int
    words: tuple[int, ...]
    echo: int
    opens: int
    useless: int
    damage: int


acks = st.builds(
    Ack,
    base=st.one_of(st.just(0), st.integers(0, 256)),
    highest=st.integers(0, 256),
    skip=st.integers(0, 3),
    words=st.lists(st.integers(0, ONES), max_size=5).map(tuple),
    echo=st.integers(0, 3000),
    opens=st.integers(-50, 200),
    useless=st.integers(0, 5),
    damage=st.sampled_from([*[0] * 12, 1, 2]),
)


class History:
    """ACKs of a window that moves on; what they say lies between what is known and what was sent."""

    def __init__(self, first_index: int, window: int) -> None:
        self.both = Both(window=window, first_index=first_index)
        self.window = window

    def packet(self, one: Ack) -> bytes:
        low, high = self.both.state.base, self.both.state.sent_end
        base = max(low + (high - low) * one.base // 256 - one.echo % 3, 0)  # also one that is a little late
        highest = base + (high - base) * one.highest // 256
        first = (base >> 6) + one.skip
        words = [self._below(highest, first + n, word) for n, word in enumerate(one.words)]
        packet = ack(
            base,
            highest,
            *words,
            first=first,
            limit=low + self.window + one.opens,
            useless=one.useless,
            timestamp=one.echo,
        )
        match one.damage:
            case 1:
                return packet[:30] + bytes([packet[30] ^ 1]) + packet[31:]
            case 2:
                return packet[:-1]
        return packet

    def _below(self, highest: int, number: int, word: int) -> int:
        """Nothing above the highest index seen is said to have arrived."""
        return word & (1 << min(max(highest - 64 * number, 0), 64)) - 1

    def batch(self, batch: list[Ack]) -> None:
        self.both.sent(min(self.both.state.limit, self.both.state.base + self.window))
        self.both.hear(*(self.packet(one) for one in batch), now=5000)


first_indices = st.one_of(st.integers(0, 200), st.integers(WRAP - 300, WRAP + 10), st.integers(131_000, 131_100))


@given(first_indices, st.sampled_from([64, 1024]), st.lists(st.lists(acks, min_size=1, max_size=12), max_size=10))
def test_take__of_any_batches_is_the_twin_ack_by_ack(first: int, window: int, batches: Any) -> None:
    history = History(first, window)
    for batch in batches:
        history.batch(batch)


@given(first_indices, st.sampled_from([64, 1024]), st.lists(acks, max_size=40))
def test_take__of_single_acks_is_the_twin_to_the_bit(first: int, window: int, singles: list[Ack]) -> None:
    history = History(first, window)
    for one in singles:
        history.batch([one])
