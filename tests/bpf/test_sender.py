# SPDX-License-Identifier: GPL-2.0-only
"""What the sender's program makes of ACKs and NACKs, one packet at a time, beside its twin."""

from __future__ import annotations

import os
import time
from random import Random

import numpy as np
import pytest

from tests.bpf.frames import headed
from tests.bpf.programs import DROP, PASS, TO_RECEIVER, TO_SENDER, SenderProgram
from tests.bpf.sender_pair import SenderPair
from tests.twins import EXPAND_WORDS
from towline.wire import Flag, Kind, Message, encode

ONES = (1 << 64) - 1
BOTH = pytest.mark.parametrize("delivery", ["direct", "ring"])


def packets(pair: SenderPair) -> list[int]:
    """The packets that records acknowledge, in order."""
    records = pair.records()
    assert all((kind, flags, count) == (Kind.ACK, 0, 1) for kind, flags, _, count in records)
    return [first for _, _, first, _ in records]


def missing(pair: SenderPair) -> list[int]:
    """What the sending process reads."""
    found: list[int] = pair.lane.live.hear(time.monotonic_ns() // 1000).known.missing.tolist()
    return found


# ---- cumulative acknowledgements


@BOTH
def test_ack__moves_base_limit_and_highest(sender: SenderProgram, delivery: str) -> None:
    pair = SenderPair(sender, delivery=delivery)
    pair.sent(20)
    assert pair.ack(10, 12, 0) == DROP
    assert [int(pair.state[name]) for name in ("base", "highest", "limit", "acks")] == [10, 12, 74, 1]


def test_ack__direct_shows_what_is_missing(sender: SenderProgram) -> None:
    pair = SenderPair(sender)
    pair.sent(64)
    pair.ack(3, 9, 0b101010000)  # 4, 6 and 8 have arrived
    assert missing(pair) == [3, 5, 7]
    pair.ack(6, 9, 0b101000000)
    assert missing(pair) == [7]
    pair.ack(9)
    assert missing(pair) == []


def test_ack__bits_below_base_are_nobodys(sender: SenderProgram) -> None:
    """They would stand for the packets one bitmap ring higher."""
    pair = SenderPair(sender)
    pair.sent(64)
    pair.ack(8, 12, 0b1000_1111_1111)
    assert int(pair.state["acknowledged"][0]) == 0b1000 << 8


@BOTH
def test_ack__words_that_do_not_begin_at_base(sender: SenderProgram, delivery: str) -> None:
    pair = SenderPair(sender, delivery=delivery, window=1024)
    pair.sent(1024)
    pair.ack(5, 700, 0b11, 1 << 63, first=7)
    assert [int(pair.state["acknowledged"][n]) for n in (7, 8)] == [0b11, 1 << 63]
    if delivery == "ring":
        assert packets(pair) == [*range(5), 448, 449, 575]


@BOTH
def test_ack__the_most_words(sender: SenderProgram, delivery: str) -> None:
    pair = SenderPair(sender, delivery=delivery, window=16384, payload_size=1)
    pair.sent(16384)
    words = [(1 << 64) // 3] * 128
    pair.ack(0, 8192, *words)
    assert int(pair.state["acknowledged"].view(np.uint8)[: 128 * 8].sum()) > 0


@BOTH
def test_ack__an_old_one_does_no_harm(sender: SenderProgram, delivery: str) -> None:
    pair = SenderPair(sender, delivery=delivery)
    pair.sent(64)
    pair.ack(20, 40, 0b1 << 30)
    pair.ack(10, 30, 0b1 << 25)  # sent before the other, but its limit may be news
    assert [int(pair.state[name]) for name in ("base", "highest", "acks")] == [20, 40, 2]
    assert int(pair.state["acknowledged"][0]) == 1 << 30
    assert not pair.state["rtt_samples"]


@BOTH
def test_ack__limit_and_useless_only_grow(sender: SenderProgram, delivery: str) -> None:
    pair = SenderPair(sender, delivery=delivery)
    pair.sent(64)
    pair.ack(20, limit=90, useless=7)
    pair.ack(21, limit=80, useless=5)
    pair.ack(19, limit=95, useless=8)
    assert [int(pair.state[name]) for name in ("base", "limit", "useless")] == [21, 95, 8]


@BOTH
@pytest.mark.parametrize(
    ("base", "highest"), [(0, 21), (21, 21), (5, 4), (1 << 31, 20), (0, 1 << 31), (100, (1 << 31) + 99)], ids=str
)
def test_ack__for_what_was_never_sent_is_impossible(
    sender: SenderProgram, delivery: str, base: int, highest: int
) -> None:
    pair = SenderPair(sender, delivery=delivery)
    pair.sent(20)
    pair.ack(base, highest, ONES, limit=1000, useless=9, timestamp=1)
    state = [int(pair.state[name]) for name in ("impossible", "acks", "base", "highest", "limit", "useless")]
    assert state == [1, 0, 0, 0, 64, 0]
    assert not pair.state["acknowledged"].any()


@BOTH
def test_ack__indices_wrap(sender: SenderProgram, delivery: str) -> None:
    first = (1 << 32) - 10
    pair = SenderPair(sender, delivery=delivery, first_index=first)
    pair.sent(first + 30)
    pair.ack(first + 2, first + 20, 1 << 62)  # 2^32 - 2, in the last word there is
    pair.ack(first + 3, first + 20, 0b111, first=1 << 26)  # word 0: packets 0 to 2
    pair.ack(first + 15, first + 20, 0)
    pair.ack(first + 30)
    assert [int(pair.state[name]) for name in ("base", "highest", "limit")] == [20, 20, 84]
    if delivery == "ring":
        after = [(first + n) & 0xFFFFFFFF for n in range(30)]
        early = [after[8], after[10], after[11], after[12]]
        rest = [n for n in after[3:] if n not in early]
        assert packets(pair) == [*after[:2], early[0], after[2], *early[1:], *rest]


@BOTH
def test_ack__bits_are_clear_when_the_ring_of_bits_comes_round(sender: SenderProgram, delivery: str) -> None:
    """Twice round 131072 bits, each word set before base passes it."""
    pair = SenderPair(sender, delivery=delivery, window=65536, payload_size=1, ring_size=1 << 21)
    for base in range(0, 300_000, 3000):
        pair.sent(base + 6000)
        pair.ack(base + 60, base + 3200, 0, *[ONES] * 40, limit=base + 65536)
        pair.ack(base + 3000, limit=base + 65536)
        if delivery == "ring":
            pair.records()
    pair.sent(303_000)
    pair.ack(300_000)
    assert not pair.state["acknowledged"].any()


# ---- what is not for it


def test_ack__wrong_check_is_dropped_and_counted(sender: SenderProgram) -> None:
    pair = SenderPair(sender)
    pair.sent(64)
    packet = encode(ack_of(pair, 10))
    for bit in range(8, len(packet) * 8):
        if bit // 8 in (*range(1, 4), *range(4, 12)):
            continue  # another kind, length or session: told apart before the check
        damaged = bytearray(packet)
        damaged[bit // 8] ^= 1 << bit % 8
        assert pair.hear(bytes(damaged)) == DROP
    assert int(pair.state["corrupt"]) == (len(packet) - 12) * 8
    assert int(pair.state["acks"]) == 0


def test_ack__of_another_session_is_left_alone(sender: SenderProgram) -> None:
    pair = SenderPair(sender)
    pair.sent(64)
    before = sender.strangers()[1]
    for bit in range(64):
        assert pair.ack(10, session=pair.lane.session ^ 1 << bit) == PASS
    assert sender.strangers()[1] == before + 64
    assert not pair.state["acks"]


@pytest.mark.parametrize(
    "frame",
    [
        TO_RECEIVER,
        TO_SENDER[:12] + b"\x15\x02",
        TO_SENDER[:11] + b"\x0c" + TO_SENDER[12:],
        b"\x02\0\0\0\0\x0c" + TO_SENDER[6:],
        b"\xff" * 6 + TO_SENDER[6:],
    ],
    ids=["turned", "type", "source", "destination", "broadcast"],
)
def test_ack__in_another_frame_is_left_alone(sender: SenderProgram, frame: bytes) -> None:
    pair = SenderPair(sender)
    pair.sent(64)
    assert pair.hear(encode(ack_of(pair, 10)), frame) == PASS
    assert not pair.state["acks"]


@BOTH
@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in (Kind.ACK, Kind.NACK)])
def test_control__is_left_to_a_socket(sender: SenderProgram, delivery: str, kind: Kind) -> None:
    pair = SenderPair(sender, delivery=delivery)
    assert pair.hear(encode(Message(kind=kind, session=pair.lane.session))) == PASS


def test_ack__shorter_than_it_says_is_malformed(sender: SenderProgram) -> None:
    pair = SenderPair(sender)
    pair.sent(64)
    packet = encode(ack_of(pair, 10, words=10))
    for length in range(60 - len(TO_SENDER), len(packet)):
        assert pair.hear(packet[:length]) == DROP
    assert int(pair.state["malformed"]) == len(packet) - 46
    assert pair.hear(packet) == DROP
    assert (int(pair.state["acks"]), int(pair.state["base"])) == (1, 10)


@BOTH
@pytest.mark.parametrize("length", [0, 8, 15])
def test_ack__without_its_body_says_nothing(sender: SenderProgram, delivery: str, length: int) -> None:
    """Its check is right, so it came from the peer; and yet nothing of it is believed."""
    pair = SenderPair(sender, delivery=delivery)
    pair.sent(64)
    assert pair.hear(headed(Kind.ACK, pair.lane.session, bytes(length), index=9)) == DROP
    assert [int(pair.state[name]) for name in ("acks", "base", "corrupt")] == [0, 0, 0]


def test_ack__while_another_cpu_has_the_session_is_dropped(sender: SenderProgram) -> None:
    pair = SenderPair(sender)
    pair.sent(64)
    frame = TO_SENDER + encode(ack_of(pair, 10))
    cpus = os.sched_getaffinity(0)
    mine = min(cpus)
    os.sched_setaffinity(0, {mine})
    try:
        pair.state["lock"] = 1 + mine + 1
        assert sender.run(frame)[0] == DROP
        assert [int(pair.state[name]) for name in ("contended", "acks", "base")] == [1, 0, 0]
        pair.state["lock"] = 1 + mine  # who holds it on this CPU cannot be running
        assert sender.run(frame)[0] == DROP
        assert [int(pair.state[name]) for name in ("contended", "acks", "base", "lock")] == [1, 1, 10, 0]
    finally:
        os.sched_setaffinity(0, cpus)


# ---- round trips


@BOTH
def test_rtt__only_from_acks_that_advance(sender: SenderProgram, delivery: str) -> None:
    pair = SenderPair(sender, delivery=delivery)
    pair.sent(64)

    def stamp(age_us: int) -> int:
        return (time.monotonic_ns() // 1000 - age_us) & 0xFFFFFFFF

    pair.ack(5, timestamp=stamp(1000))
    assert 1000 <= int(pair.state["rtt_us"]) < 100_000
    pair.ack(5, timestamp=stamp(9_000_000))  # says nothing new
    pair.ack(4, timestamp=stamp(9_000_000))  # older
    pair.ack(6, timestamp=0)  # from the process: no sample
    assert int(pair.state["rtt_samples"]) == 1
    pair.ack(6, 8, 0, timestamp=stamp(2_000_000))  # highest advances
    assert int(pair.state["rtt_samples"]) == 2
    assert 2_000_000 <= int(pair.state["rtt_us"]) < 2_100_000
    assert int(pair.state["rtt_histogram"].sum()) == 2


@BOTH
def test_shown_us__is_the_echo_that_last_showed_a_word(sender: SenderProgram, delivery: str) -> None:
    pair = SenderPair(sender, delivery=delivery, window=1024)
    pair.sent(1024)
    pair.ack(0, 320, 0, 0, 0, 0, 0, timestamp=1000)
    pair.ack(0, 320, 1, first=3, timestamp=2000)
    pair.ack(10, 320, 0, first=0, timestamp=3000)
    pair.ack(5, 320, 0, first=1, timestamp=4000)  # old
    assert pair.state["shown_us"][:6].tolist() == [3000, 1000, 1000, 2000, 1000, 0]
    pair.ack(200, 320)
    assert pair.state["shown_us"][:3].tolist() == [0, 0, 0]  # or it would pass for fresh, a ring of bits later


# ---- delivery ring


def test_ring__each_packet_is_recorded_once(sender: SenderProgram) -> None:
    pair = SenderPair(sender, delivery="ring")
    pair.sent(64)
    pair.ack(3, 10, 0b1010000000)  # 0, 1, 2; then 7 and 9
    assert packets(pair) == [0, 1, 2, 7, 9]
    pair.ack(3, 10, 0b1010000000)
    assert packets(pair) == []
    pair.ack(8, 12, 0b1010 << 8)
    assert packets(pair) == [3, 4, 5, 6, 11]
    pair.ack(12)
    assert packets(pair) == [8, 10]


def test_ring__a_full_one_stops_and_the_next_ack_continues(sender: SenderProgram) -> None:
    pair = SenderPair(sender, delivery="ring", window=1024, ring_size=4096)  # 170 records
    pair.sent(1000)
    pair.ack(500, 600, 0b1)
    assert [int(pair.state[name]) for name in ("base", "highest", "ring_full")] == [128, 0, 1]
    # Marked are those that were submitted, and no other: 128 to 169 stand in word 2.
    assert int(pair.state["acknowledged"][2]) == (1 << 42) - 1
    assert packets(pair) == list(range(170))
    pair.ack(500, 600, 0b1)
    assert packets(pair) == list(range(170, 340))
    pair.ack(500, 600, 0b1)
    pair.ack(500, 600, 0b1)  # nothing has been taken out: nothing more fits
    assert packets(pair) == list(range(340, 500))
    assert [int(pair.state[name]) for name in ("base", "ring_full")] == [500, 2]


def test_ring__an_ack_takes_base_over_so_many_words_at_most(sender: SenderProgram) -> None:
    most = 64 * EXPAND_WORDS
    pair = SenderPair(sender, delivery="ring", window=65536, payload_size=1, ring_size=1 << 21)
    pair.sent(3 * most)
    pair.ack(2 * most + 100)
    assert int(pair.state["base"]) == most
    pair.ack(2 * most + 100)
    pair.ack(2 * most + 100)
    assert packets(pair) == list(range(2 * most + 100))


@pytest.mark.parametrize("count", [0, 1, 24, 128, 200])
def test_ring__nacks_come_through_unchanged(sender: SenderProgram, count: int) -> None:
    pair = SenderPair(sender, delivery="ring")
    ranges = [(7 * n, n + 1) for n in range(count)]
    assert pair.nack(*ranges) == DROP
    assert pair.records() == [(Kind.NACK, 0, first, n) for first, n in ranges[:128]]
    assert int(pair.state["nacks"]) == 1


def test_ring__a_nack_says_that_the_receiver_was_full(sender: SenderProgram) -> None:
    pair = SenderPair(sender, delivery="ring")
    assert pair.nack((5, 1), flags=Flag.FULL) == DROP
    assert pair.records() == [(Kind.NACK, Flag.FULL, 5, 1)]
    assert [int(pair.state[name]) for name in ("nacks", "full_nacks")] == [0, 1]


def test_direct__nacks_are_left_to_a_socket(sender: SenderProgram) -> None:
    pair = SenderPair(sender)
    assert pair.nack((5, 1)) == PASS
    assert pair.nack((5, 1), flags=Flag.FULL) == PASS
    assert [int(pair.state[name]) for name in ("nacks", "full_nacks")] == [0, 0]


# ---- anything


@BOTH
@pytest.mark.parametrize("first", [0, (1 << 32) - 5000], ids=["", "wraps"])
@pytest.mark.parametrize("seed", range(4))
def test_acks__in_any_order(sender: SenderProgram, delivery: str, first: int, seed: int) -> None:
    """A receiver that lies now and then, over a path that reorders."""
    rng = Random(f"{seed} {first} {delivery}")
    pair = SenderPair(sender, delivery=delivery, window=2048, payload_size=1, first_index=first, ring_size=1 << 14)
    base = highest = first
    for _ in range(400):
        highest = min(highest + rng.randrange(300), base + 2048)
        base = min(highest, base + rng.choice((0, 0, rng.randrange(64), rng.randrange(1500))))
        pair.sent(highest + rng.randrange(-3, 100))
        late = rng.choice((0, 0, 0, rng.randrange(500)))
        words = [rng.getrandbits(64) & rng.getrandbits(64) for _ in range(rng.choice((0, 1, 3, 16, 20)))]
        skip = rng.choice((0, 0, 0, 1, 5, rng.randrange(1 << 26)))
        pair.ack(
            max(base - late, 0),
            highest + rng.choice((0, 0, 0, -late)),
            *words,
            first=((base & 0xFFFFFFFF) // 64 + skip),
            limit=base + rng.randrange(4096),
            useless=rng.randrange(50),
            timestamp=rng.choice((0, time.monotonic_ns() // 1000 & 0xFFFFFFFF)),
        )
        if delivery == "ring" and rng.random() < 0.3:
            pair.records()
    assert int(pair.state["acks"]) > 200


def ack_of(pair: SenderPair, base: int, words: int = 0) -> Message:
    """A plain ACK."""
    fields = {"limit": base + 64, "highest": base, "first": base // 64}
    return Message(kind=Kind.ACK, session=pair.lane.session, index=base, fields=fields, tail=bytes(8 * words))
