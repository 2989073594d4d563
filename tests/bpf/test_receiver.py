# SPDX-License-Identifier: GPL-2.0-only
"""What the receiver's program does to DATA, one packet at a time: by the table of cases.py, and beside its twin."""

from __future__ import annotations

import os
from random import Random

import pytest

from tests.bpf.programs import DROP, PASS, PAYLOAD_MOST, REDIRECT, TO_RECEIVER, TO_SENDER, TX, ReceiverProgram
from tests.bpf.receiver_pair import ReceiverPair
from tests.cases import CASES
from tests.levels import SENDER_TO_RECEIVER, framed
from tests.scripts import ROOM, Case, play
from tests.twins import Verdict, data_packet
from towline.wire import Flag, Kind, decode_untrusted

BOTH = pytest.mark.parametrize("delivery", ["direct", "ring"])
ROWS = [pytest.param(case, d, id=f"{case.name}-{d}") for case in CASES for d in case.setup.deliveries]
VERDICTS: dict[int, Verdict] = {DROP: "drop", PASS: "pass", TX: "tx"}
SIZES = (1, 2, 3, 79, 80, 81, 255, 256, 257, 511, 512, 513, 768, 1024, 1400, 3369, 3370)
FOUR_RECORDS = 1 << 14  # bytes of a ring, where a record holds the largest payload


class XdpEnd:
    """tests.scripts.End around receiver.h."""

    def __init__(self, program: ReceiverProgram, case: Case, delivery: str) -> None:
        setup = case.setup
        self._program = program
        self._session = program.open(
            window=setup.window,
            payload_size=setup.payload_size,
            ack_every=setup.ack_every,
            delivery=delivery,
            first_index=setup.first_index,
            ring_size=FOUR_RECORDS if setup.ring_room else 1 << 20,
            short_records=setup.short_every,
        )
        self.number = self._session.number
        self._is_ring = delivery == "ring"

    def receive(self, packet: bytes) -> tuple[Verdict, bytes | None]:
        whole = framed(self._session.level, SENDER_TO_RECEIVER, packet)
        verdict, after = self._program.run(whole)
        if verdict == TX:
            return "tx", after[self._session.level.frame_bytes :]  # test_levels.py reads the frame
        assert after == whole
        return VERDICTS[verdict], None

    def drain(self, to: int) -> None:
        self._session.state["drained"] = to

    def want(self, index: int) -> None:
        self._program.want(self._session, index)

    def take(self) -> None:
        self._session.records()

    def counters(self) -> dict[str, int]:
        not_ours, strangers = self._program.strangers()
        return self._session.counters() | {"not_ours": not_ours, "strangers": strangers}

    def memory(self) -> bytes:
        return repr(self._session.waiting()).encode() if self._is_ring else self._session.rows().tobytes()

    def payload(self, index: int, length: int) -> bytes:
        if self._is_ring:
            found, said, committed = self._session.waiting()[-1]
            assert (found, said) == (index % (1 << 32), length)
            return committed
        return self._session.rows()[index % self._session.terms.window, :length].tobytes()


@pytest.mark.parametrize("receiver", ["ethernet", "udp6"], indirect=True)
@pytest.mark.parametrize(("case", "delivery"), ROWS)
def test_receiver__does_what_the_table_says(receiver: ReceiverProgram, case: Case, delivery: str) -> None:
    play(case, XdpEnd(receiver, case, delivery))


def test_ring__holds_what_the_table_takes_for_full(receiver: ReceiverProgram) -> None:
    pair = ReceiverPair(receiver, delivery="ring", ring_size=FOUR_RECORDS)
    assert pair.room == ROOM


@BOTH
@pytest.mark.parametrize("flags", [Flag.NONE, Flag.CHECKSUM], ids=["", "checksum"])
@pytest.mark.parametrize("size", SIZES)
def test_data__every_byte_is_placed(receiver: ReceiverProgram, delivery: str, size: int, flags: Flag) -> None:
    pair = ReceiverPair(receiver, delivery=delivery, payload_size=PAYLOAD_MOST)
    payload = Random(size).randbytes(size)
    assert pair.data(0, payload, flags) == (DROP, None)
    if delivery == "ring":
        assert pair.take() == [(0, size, payload)]
    else:
        assert pair.session.rows()[0, :size].tobytes() == payload
        assert not pair.session.rows()[0, size:].any()
        assert not pair.session.rows()[1:].any()


def test_data__while_another_cpu_has_the_session_is_dropped(receiver: ReceiverProgram) -> None:
    pair = ReceiverPair(receiver, ack_every=1)
    frame = TO_RECEIVER + data_packet(pair.number, 0, b"x")
    cpus = os.sched_getaffinity(0)
    mine = min(cpus)
    os.sched_setaffinity(0, {mine})
    try:
        pair.session.state["lock"] = 1 + mine + 1
        assert receiver.run(frame) == (DROP, frame)
        assert pair.session.counters()["contended"] == 1
        assert not pair.session.rows().any()
        pair.session.state["lock"] = 0
        pair.compare()  # nothing else has changed, and nothing is owed
        pair.session.state["lock"] = 1 + mine  # who holds it on this CPU cannot be running
        assert pair.data(0, b"x")[0] == TX
    finally:
        os.sched_setaffinity(0, cpus)


@pytest.mark.parametrize(
    "frame",
    [
        TO_SENDER,
        TO_RECEIVER[:12] + b"\x15\x02",
        TO_RECEIVER[:11] + b"\x0c" + TO_RECEIVER[12:],
        b"\x02\0\0\0\0\x0c" + TO_RECEIVER[6:],
        b"\xff" * 6 + TO_RECEIVER[6:],
    ],
    ids=["turned", "type", "source", "destination", "broadcast"],
)
def test_data__in_another_frame_is_left_alone(receiver: ReceiverProgram, frame: bytes) -> None:
    pair = ReceiverPair(receiver, ack_every=1)
    assert pair.hear(data_packet(pair.number, 0, b"x"), frame) == (PASS, None)


def test_acknowledgement__is_redirected_for_a_sender_that_hears_through_a_socket(receiver: ReceiverProgram) -> None:
    session = receiver.open()
    whole = framed(session.level, SENDER_TO_RECEIVER, data_packet(session.number, 0, b"x", Flag.FLUSH))
    assert receiver.run(whole)[0] == TX
    session.state["bounce_ifindex"] = 1
    verdict, after = receiver.run(whole)
    assert verdict == REDIRECT
    assert decode_untrusted(after[session.level.frame_bytes :]).kind is Kind.ACK


def test_data__of_a_session_that_is_closed_is_left_alone(receiver: ReceiverProgram) -> None:
    session = receiver.open(ack_every=1)
    frame = TO_RECEIVER + data_packet(session.number, 0, b"x")
    assert receiver.run(frame)[0] == TX
    receiver.close_sessions()
    assert receiver.run(frame) == (PASS, frame)


def test_sessions__of_all_kinds_share_an_interface(receiver: ReceiverProgram) -> None:
    pairs = [
        ReceiverPair(receiver, payload_size=100, ack_every=1),
        ReceiverPair(receiver, payload_size=3370, ack_every=2, delivery="ring"),
        ReceiverPair(receiver, payload_size=1, window=1024, ack_every=3, first_index=(1 << 32) - 5),
        ReceiverPair(receiver, payload_size=700, ack_every=4, delivery="ring", short_records=3),
    ]
    assert len({pair.session.slot for pair in pairs}) == len(pairs)
    rng = Random(1)
    for turn in range(12):
        for pair in rng.sample(pairs, len(pairs)):
            index = (int(pair.session.state["drained"]) + turn) & 0xFFFFFFFF
            pair.data(index, rng.randbytes(pair.session.terms.payload_size), Flag.CHECKSUM)
    for pair in pairs:
        pair.compare()
        if pair.is_ring:
            pair.take()


@BOTH
@pytest.mark.parametrize("first", [0, (1 << 32) - 2000], ids=["", "wraps"])
@pytest.mark.parametrize("seed", range(3))
def test_data__in_any_order(receiver: ReceiverProgram, delivery: str, first: int, seed: int) -> None:
    """A path that loses, repeats and reorders; a process that drains when it likes, and takes back what it dislikes."""
    rng = Random(f"{seed} {first} {delivery}")
    window = rng.choice((64, 256, 1024))
    pair = ReceiverPair(
        receiver,
        delivery=delivery,
        window=window,
        ack_every=rng.randrange(1, 20),
        first_index=first,
        ring_size=1 << 18,
        short_records=rng.choice((0, 7)),
    )
    twin, next_new = pair.twin, first
    for _ in range(700):
        skipped = rng.choice((0, 0, 0, 1, rng.randrange(window)))
        next_new += skipped
        index = rng.choice((next_new, next_new, next_new - rng.randrange(1, window), next_new + 3))
        next_new += index == next_new
        flags = Flag(rng.choice((0, 0, Flag.CHECKSUM, Flag.AGAIN, Flag.CHECKSUM | Flag.AGAIN, Flag.FLUSH)))
        pair.data(index, rng.randbytes(rng.randrange(1, 101)), flags, rng.getrandbits(32))
        placed_to = (twin.ready - twin.drained) & 0xFFFFFFFF
        if placed_to and rng.random() < 0.1:
            pair.drain(twin.drained + rng.randrange(placed_to + 1))
        elif placed_to and rng.random() < 0.05:
            pair.want(twin.drained + rng.randrange(placed_to))
        if pair.is_ring and rng.random() < 0.05:
            pair.take()
        if (next_new - twin.drained) & 0xFFFFFFFF > 2 * window:
            next_new = first + ((twin.drained - first) & 0xFFFFFFFF)  # nothing fits any more: begin anew
    assert twin.counters["placed"] > 100
    assert twin.counters["duplicates"] > 10
