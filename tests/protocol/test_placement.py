# SPDX-License-Identifier: GPL-2.0-only
"""The receiving half in batches against its twin that takes packet by packet: the tables, and random histories."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import twins
from tests.cases import CASES
from tests.scripts import Case, Setup, payload_of, play
from towline.protocol.placement import Placement
from towline.protocol.window import unwrap
from towline.slots import Slots
from towline.wire import DATA_LEAST_BYTES, HEADER_BYTES, MAGIC, Flag, Kind, Message, decode_untrusted

SESSION = 0x1234_5678_9ABC_0007
WRAP = 1 << 32
PAYLOAD_BYTES = 120
DIRECT = [pytest.param(case, id=case.name) for case in CASES if "direct" in case.setup.deliveries]
FLAGS = (0, 0, 0, 0, Flag.FLUSH, Flag.CHECKSUM, Flag.AGAIN, Flag.AGAIN | Flag.CHECKSUM)
TWIN_COUNTERS = ("placed", "duplicates", "useless", "out_of_window", "ring_full", "acks", "full_nacks")


def stack(packets: list[bytes], width: int = 0) -> tuple[np.ndarray[Any, np.dtype[np.uint8]], Any]:
    """Packets as a socket leaves them: rows of one width, junk behind the shorter ones, in a frame that is odd."""
    lengths = np.array([len(packet) for packet in packets], np.int64)
    rows = np.full((len(packets), 13 + max(width, *map(len, packets), HEADER_BYTES)), 0xA5, np.uint8)
    for row, packet in zip(rows, packets, strict=True):
        row[13 : 13 + len(packet)] = np.frombuffer(packet, np.uint8)
    return rows[:, 13:], lengths


def make(setup: Setup) -> Placement:
    memory = np.zeros(setup.window * setup.payload_size, np.uint8)
    return Placement(
        session=SESSION,
        window=setup.window,
        payload_size=setup.payload_size,
        ack_every=setup.ack_every,
        slots=Slots(memory, window=setup.window, payload_size=setup.payload_size),
        first_index=setup.first_index,
    )


class BatchEnd:
    """tests.cases.End around a Placement that is given one packet at a time."""

    number = SESSION

    def __init__(self, setup: Setup) -> None:
        self.placement = make(setup)
        self._strangers = {"not_ours": 0, "strangers": 0}

    def receive(self, packet: bytes) -> tuple[twins.Verdict, bytes | None]:
        """What is not DATA of the session does not come here: a socket's owner sorts it out."""
        foreign = self._foreign(packet)
        if foreign is not None:
            self._strangers[foreign] += 1
            return "pass", None
        replies = self.placement.take(*stack([packet]))
        if replies is None:
            return "drop", None
        assert len(replies) == 1
        return "tx", replies.tobytes()

    def _foreign(self, packet: bytes) -> str | None:
        if len(packet) < HEADER_BYTES or packet[0] != MAGIC:
            return "not_ours"
        ours = int.from_bytes(packet[4:12]) == SESSION and packet[1] >> 4 == Kind.DATA
        return None if ours else "strangers"

    def drain(self, to: int) -> None:
        self.placement.drained(to)

    def want(self, index: int) -> None:
        self.placement.take_back(np.array([index]))

    def take(self) -> None:
        raise AssertionError("there is no ring buffer")

    def counters(self) -> dict[str, int]:
        return self.placement.counters() | self._strangers

    def memory(self) -> bytes:
        return self.placement.slots.rows().tobytes()

    def payload(self, index: int, length: int) -> bytes:
        rows = self.placement.slots.rows()
        return rows[index % len(rows), :length].tobytes()


@pytest.mark.parametrize("case", DIRECT)
def test_take__does_what_the_table_says(case: Case) -> None:
    play(case, BatchEnd(case.setup))


@pytest.mark.parametrize("name", ["_sound", "_place", "_scatter", "_refill", "_mark", "_due", "_choose"])
def test_play__notices_a_placement_that_is_broken(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    none = np.empty(0, np.int64)
    broken: dict[str, Callable[..., Any]] = {
        "_sound": lambda _, batch: batch,
        "_refill": lambda *_: none,
        "_due": lambda *_: none,
        "_choose": lambda *_: (0, 0),
    }
    monkeypatch.setattr(Placement, name, broken.get(name, lambda *_: None))
    with pytest.raises((AssertionError, ValueError)):
        play_all()


def play_all() -> None:
    for case in CASES:
        if "direct" in case.setup.deliveries:
            play(case, BatchEnd(case.setup))


# ---- random histories


@dataclass(frozen=True)
class Packet:
    """`ahead`: of what is drained when it comes; `flip`: a bit of it that is turned on the way."""

    ahead: int
    flags: int
    length: int = PAYLOAD_BYTES
    cut: int = 0
    flip: int | None = None


@dataclass(frozen=True)
class Drain:
    """So manieth part of what is placed, in sixteenths."""

    sixteenths: int


@dataclass(frozen=True)
class TakeBack:
    """Of the indices that are placed and not drained, every so manieth."""

    every: int


Step = tuple[Packet, ...] | Drain | TakeBack


class Both:
    """The twin and the batches on the same history. `same` compares all that can be seen of the two."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.batches = make(setup)
        self.memory = np.zeros((setup.window, setup.payload_size), np.uint8)
        self.lengths = np.zeros(setup.window, np.int64)
        self.twin = twins.Placement(
            session=SESSION,
            window=setup.window,
            payload_size=setup.payload_size,
            ack_every=setup.ack_every,
            ring=False,
            store=self._store,
            first_index=setup.first_index,
        )
        self.drained = setup.first_index
        self.highest = setup.first_index
        self.copies = 0
        self.one_by_one = True

    def _store(self, slot: int, index: int, payload: bytes, length: int) -> bool:
        self.memory[slot, :length] = np.frombuffer(payload, np.uint8)
        self.lengths[slot] = length
        return True

    def step(self, step: Step) -> None:
        match step:
            case Drain(sixteenths):
                self.drained += (self.batches.ready - self.drained) * sixteenths // 16
                self.batches.drained(self.drained)
                self.twin.drained = self.drained % WRAP
            case TakeBack(every):
                indices = np.arange(self.drained, self.batches.ready)[::every]
                self.batches.take_back(indices)
                self.twin.want(indices.tolist())
            case _:
                self.hear([self.packet(one) for one in step])
        self.same()

    def packet(self, step: Packet) -> bytes:
        """Another payload each time, so that it shows which of two was placed."""
        self.copies += 1
        index = max(self.drained + step.ahead, 0)
        payload = payload_of(index + 1000 * self.copies, step.length)
        packet = bytearray(twins.data_packet(SESSION, index, payload, step.flags, self.copies))
        if step.flip is not None:
            # Not the bits that say whose it is.
            packet[12 + step.flip // 8 % (len(packet) - 12)] ^= 1 << step.flip % 8
        return bytes(packet[: max(len(packet) - step.cut, HEADER_BYTES)])

    def hear(self, packets: list[bytes]) -> None:
        answers = [reply for packet in packets for _, reply in [self.twin.receive(packet)] if reply is not None]
        last_was_due = self.twin.pending == 0
        self.one_by_one = self.one_by_one and len(packets) == 1
        replies = self.batches.take(*stack(packets))
        if replies is None:
            assert not answers
            return
        told = [decode_untrusted(reply.tobytes()) for reply in replies]
        self._compare_replies(told, [decode_untrusted(answer) for answer in answers])
        room = min(len(packets[message.timestamp - self._first_copy(packets)]) for message in told)
        assert replies.shape[1] <= room, "an ACK is longer than the packet that it answers"
        if self.one_by_one:  # or the two are elsewhere on their way round the bitmap
            assert [reply.tobytes() for reply in replies] == answers
        if last_was_due:
            ours, theirs = told[-1], decode_untrusted(answers[-1])
            assert ours.index == theirs.index
            assert {**ours.fields, "first": 0} == {**theirs.fields, "first": 0}

    def _first_copy(self, packets: list[bytes]) -> int:
        return self.copies - len(packets) + 1

    def _compare_replies(self, told: list[Message], answers: list[Message]) -> None:
        assert [message.timestamp for message in told] == [message.timestamp for message in answers]
        for ours, theirs in zip(told, answers, strict=True):
            for name in ("limit", "highest", "useless"):
                assert unwrap(ours.fields[name], theirs.fields[name]) >= theirs.fields[name]
            assert unwrap(ours.index, theirs.index) >= theirs.index
            self._check_words(ours)

    def _check_words(self, message: Message) -> None:
        """What an ACK shows at or above its base is exactly what has arrived there."""
        base = unwrap(message.index, self.drained)
        first = unwrap(message.fields["first"] * 64 % WRAP, base & ~63)
        words = np.frombuffer(message.tail, ">u8").tolist()
        for number, word in enumerate(words):
            for bit in range(64):
                index = first + 64 * number + bit
                arrived = index >= base and self.twin.has_arrived(index % WRAP)
                assert bool(word >> bit & 1) == arrived, index

    def same(self) -> None:
        ours, twin, near = self.batches, self.twin, self.drained
        counters = ours.counters()
        names = (*TWIN_COUNTERS, "corrupt", "malformed")
        assert {name: counters[name] for name in names} == {name: twin.counters[name] for name in names}
        assert counters["contended"] == 0
        assert ours.highest == unwrap(twin.highest, near)
        if twin.pending == 0:
            assert ours.advertised == unwrap(twin.advertised, near)
        twin.advance()  # it would at its next ACK; what is placed does not depend on it
        assert ours.ready == unwrap(twin.cursor, near)
        window = range(near, ours.highest)  # a bit below it stays in both, and the process never drains what it wants
        assert ours.wanted().tolist() == [index for index in window if index % twins.WINDOW_MOST in twin.wanted]
        held = np.arange(self.setup.payload_size) < self.lengths[:, None]
        assert np.array_equal(ours.slots.rows()[held], self.memory[held])


@st.composite
def setups(draw: st.DrawFn) -> Setup:
    window = draw(st.sampled_from([64, 128, 1024]))
    near_wrap = st.integers(WRAP - 2 * window, WRAP + 70)
    first = draw(st.one_of(st.integers(0, 200), near_wrap))
    return Setup(
        window=window,
        ack_every=draw(st.sampled_from([1, 2, 5, window // 4])),
        payload_size=PAYLOAD_BYTES,
        first_index=first,
    )


@st.composite
def runs(draw: st.DrawFn, window: int) -> tuple[Packet, ...]:
    """What a path makes of some packets in order: it drops, doubles, swaps and damages."""
    start = draw(st.integers(-8, window + 4))
    count = draw(st.integers(1, min(window, 90)))
    flags = st.sampled_from(FLAGS if draw(st.booleans()) else (0,))
    packets = [Packet(start + i, draw(flags)) for i in range(count)]
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(packets) - 1))
        one = packets[at]
        match draw(st.sampled_from(["drop", "double", "swap", "flip", "cut", "short"])):
            case "drop" if len(packets) > 1:
                del packets[at]
            case "double":
                packets.insert(draw(st.integers(at, len(packets))), Packet(one.ahead, draw(flags)))
            case "swap":
                packets.insert(draw(st.integers(0, len(packets) - 1)), packets.pop(at))
            case "flip":
                packets[at] = Packet(one.ahead, one.flags, flip=draw(st.integers(0, 1300)))
            case "cut":
                packets[at] = Packet(one.ahead, one.flags, cut=draw(st.integers(1, PAYLOAD_BYTES)))
            case "short":
                packets[at] = Packet(one.ahead, one.flags, length=draw(st.integers(1, DATA_LEAST_BYTES + 20)))
    return tuple(packets)


@st.composite
def histories(draw: st.DrawFn) -> tuple[Setup, list[Step]]:
    setup = draw(setups())
    steps: list[Step] = []
    for _ in range(draw(st.integers(1, 8))):
        match draw(st.sampled_from(["next", "next", "run", "drain", "take back"])):
            case "next":  # from the front on, which a run seldom hits
                run = draw(runs(setup.window))
                steps.append(tuple(Packet(i, *_rest(one)) for i, one in enumerate(run)))
            case "run":
                steps.append(draw(runs(setup.window)))
            case "drain":
                steps.append(Drain(draw(st.integers(1, 16))))
            case "take back":
                steps.append(TakeBack(draw(st.integers(1, 9))))
    return setup, steps


def _rest(packet: Packet) -> tuple[int, int, int, int | None]:
    return packet.flags, packet.length, packet.cut, packet.flip


@given(histories(), st.randoms(use_true_random=False))
def test_take__of_any_batches_is_the_twin_packet_by_packet(history: tuple[Setup, list[Step]], random: Any) -> None:
    setup, steps = history
    both = Both(setup)
    for step in steps:
        if not isinstance(step, tuple):
            both.step(step)
            continue
        at = 0
        while at < len(step):
            size = random.choice((1, 2, 7, 64, len(step)))
            both.step(step[at : at + size])
            at += size


@given(histories())
def test_take__of_single_packets_is_the_twin_to_the_byte(history: tuple[Setup, list[Step]]) -> None:
    setup, steps = history
    both = Both(setup)
    for step in steps:
        for one in step if isinstance(step, tuple) else (step,):
            both.step((one,) if isinstance(one, Packet) else one)


def test_take__in_order_goes_round_the_window_and_the_numbers() -> None:
    both = Both(Setup(window=64, ack_every=16, payload_size=PAYLOAD_BYTES, first_index=WRAP - 100))
    for _ in range(8):
        both.step(tuple(Packet(i, 0) for i in range(50)))
        both.step(Drain(16))
    assert both.batches.counters()["placed"] == 400
    assert both.batches.ready == WRAP + 300


@pytest.mark.parametrize("order", [(1, 0), (2, 1, 3), (0, 2, 1), (1, 0, 1), (3, 3, 2, 2), (0, 1, 0)], ids=str)
def test_take__out_of_order_each_into_its_own_slot(order: tuple[int, ...]) -> None:
    both = Both(Setup(payload_size=PAYLOAD_BYTES))
    both.step(tuple(Packet(index, 0) for index in order))


def test_take__shows_more_words_where_more_acks_are_due() -> None:
    """Seventeen words lie open: one ACK alone shows sixteen of them, two show all."""
    setup = Setup(window=2048, ack_every=2, payload_size=200)
    for count, shown in ((2, 16), (4, 17)):
        placement = make(setup)
        packets = [twins.data_packet(SESSION, index, bytes(200)) for index in (1050, *range(1, count))]
        replies = placement.take(*stack(packets))
        assert replies is not None
        tails = {decode_untrusted(reply.tobytes()).tail for reply in replies}
        assert len(replies) == count // 2
        assert [len(tail) // 8 for tail in tails] == [shown]


def test_take__goes_round_the_words_whatever_the_batches() -> None:
    """Each batch has four ACKs due: were ACKs counted for every fourth choice, it would always be the same words."""
    setup = Setup(window=16384, ack_every=4, payload_size=200)
    placement = make(setup)
    seen: set[int] = set()
    for at in range(16):
        packets = [twins.data_packet(SESSION, 16383 - 16 * at - i, bytes(200)) for i in range(16)]
        replies = placement.take(*stack(packets))
        assert replies is not None
        message = decode_untrusted(replies[-1].tobytes())
        first = message.fields["first"]
        seen.update(range(first, first + len(message.tail) // 8))
    assert seen == set(range(256))


def test_take__of_nothing_but_damage_says_nothing() -> None:
    placement = make(Setup(ack_every=1))
    packet = bytearray(twins.data_packet(SESSION, 0, bytes(100), Flag.FLUSH))
    packet[20] ^= 1
    assert placement.take(*stack([bytes(packet)] * 3)) is None
    assert placement.counters()["corrupt"] == 3


def test_take__packets_narrower_than_the_slots() -> None:
    """Two short packets in a batch make short rows; a longer one that comes later fills its slot."""
    placement = make(Setup(payload_size=1400))
    rows = placement.slots.rows()
    rows[:] = 7
    placement.take(*stack([twins.data_packet(SESSION, index, b"x" * 90) for index in (0, 1)]))
    placement.take(*stack([twins.data_packet(SESSION, 2, b"y" * 1400)], width=1500))
    assert rows[0].tobytes() == rows[1].tobytes() == b"x" * 90 + b"\7" * 1310
    assert rows[2].tobytes() == b"y" * 1400


def test_drained__never_beyond_what_is_placed() -> None:
    placement = make(Setup())
    with pytest.raises(AssertionError):
        placement.drained(1)
