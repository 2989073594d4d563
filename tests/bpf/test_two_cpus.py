# SPDX-License-Identifier: GPL-2.0-only
"""The receiver's program on two CPUs at once, on one session: the lock turns one away, and nothing is placed twice."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random

import pytest

from tests.bpf.programs import DROP, TO_RECEIVER, TX, ReceiverProgram, Session
from tests.twins import data_packet
from towline.kernel.live import run_packet
from towline.wire import Flag

NEVER = 1 << 30  # an ACK: it would make something else of a packet that is run again and again
ROUNDS = 3000
DAMAGED = 0xEE


@pytest.fixture(autouse=True)
def cpus() -> list[int]:
    """Two CPUs of ours."""
    found = sorted(os.sched_getaffinity(0))
    if len(found) < 2:
        pytest.skip("needs two CPUs")
    return found[:2]


@contextmanager
def on(cpu: int, work: Callable[[], None]) -> Iterator[None]:
    """Work that is done meanwhile in a thread on that CPU; its failure is ours."""
    failures: list[BaseException] = []

    def run() -> None:
        os.sched_setaffinity(0, {cpu})
        try:
            work()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join(60)
        assert not thread.is_alive()
        assert failures == []


def payload(index: int) -> bytes:
    """What packet index holds: no two look alike."""
    return (index & 0xFFFFFFFF).to_bytes(4) * 300


def frame(session: Session, index: int, flags: Flag = Flag.NONE) -> bytes:
    content = payload(index)[: session.terms.payload_size]
    return TO_RECEIVER + data_packet(session.number, index, content, flags)


def accounted(session: Session) -> int:
    """Packets by what became of them."""
    counters = session.counters()
    return sum(counters[name] for name in ("placed", "duplicates", "out_of_window", "contended"))


def test_receiver__the_same_packets_on_two_cpus(receiver: ReceiverProgram, cpus: list[int]) -> None:
    """Each CPU runs every packet many times over, in an order of its own."""
    repeats, rounds, window = 10_000, 4, 64
    session = receiver.open(payload_size=1200, ack_every=NEVER, window=window)
    frames = [frame(session, index) for index in range(window + 8)]  # some are out of window
    together = threading.Barrier(2)

    def work(seed: int) -> None:
        rng = Random(seed)
        together.wait(60)
        for _ in range(rounds):
            for one in rng.sample(frames, len(frames)):
                assert run_packet(receiver.fd, one, repeat=repeats).verdict == DROP

    with on(cpus[1], lambda: work(1)), on(cpus[0], lambda: work(2)):
        pass
    counters = session.counters()
    assert counters["contended"] > 0
    assert counters["placed"] == window
    assert accounted(session) == 2 * rounds * len(frames) * repeats
    assert int(session.state["highest"]) == window
    for index in range(window):
        assert session.rows()[index].tobytes() == payload(index)


def test_receiver__acks_from_two_cpus(receiver: ReceiverProgram, cpus: list[int]) -> None:
    """Every packet is answered, on one CPU or the other; the last answer knows of all."""
    window, count = 1024, 1024
    session = receiver.open(payload_size=1200, ack_every=4, window=window)
    told: list[int] = []

    def work(first: int) -> None:
        for index in range(first, count, 2):
            while True:
                result = run_packet(receiver.fd, frame(session, index, Flag.FLUSH))
                if result.verdict == TX:  # else the other CPU was in there
                    break
            told.append(int.from_bytes(result.packet[26:30]))

    with on(cpus[1], lambda: work(0)), on(cpus[0], lambda: work(1)):
        pass
    counters = session.counters()
    assert (counters["placed"], counters["acks"], counters["duplicates"]) == (count, count, 0)
    assert max(told) == count == int(session.state["cursor"]) == int(session.state["ready"])
    assert not session.state["arrived"].any()


def test_receiver__a_late_duplicate_while_its_slot_is_used_again(receiver: ReceiverProgram, cpus: list[int]) -> None:
    """Thousands of times: packet i is taken back and comes again, its slot is drained and given to i + window, which
    is taken back in its turn; and all the while another CPU handles duplicates of i that could fill the slot."""
    window = 65536  # the bits of `wanted` come round with it
    session = receiver.open(payload_size=52, ack_every=NEVER, window=window)
    for name in ("cursor", "highest", "ready"):
        session.state[name] = window  # as if all of it had arrived
    current = late = 0
    done = threading.Event()

    def duplicates() -> None:
        nonlocal late
        while not done.is_set():
            run_packet(receiver.fd, frame(session, current, Flag.CHECKSUM | Flag.AGAIN), repeat=1000)
            late += 1000

    with on(cpus[1], duplicates):
        os.sched_setaffinity(0, {cpus[0]})
        try:
            for current in range(ROUNDS):
                _use_again(receiver, session, current, window)
        finally:
            done.set()
            os.sched_setaffinity(0, cpus)
    counters = session.counters()
    assert late > ROUNDS
    assert counters["placed"] == 3 * ROUNDS  # again when wanted; its slot's next user; that one when wanted
    assert counters["contended"] > 0


def _use_again(receiver: ReceiverProgram, session: Session, index: int, window: int) -> None:
    """What the process and the sender do with one slot."""
    slot, size = session.rows()[index % window], session.terms.payload_size
    _take_back(receiver, session, index)
    _replace(receiver, session, index)
    assert slot.tobytes() == payload(index)[:size]
    session.state["drained"] = index + 1
    following = frame(session, index + window)
    while int(session.state["highest"]) == index + window:
        run_packet(receiver.fd, following)
    assert slot.tobytes() == payload(index + window)[:size]
    _take_back(receiver, session, index + window)
    run_packet(receiver.fd, frame(session, index), repeat=100)  # time goes by, and nothing that counts comes
    assert _is_wanted(session, index)
    assert set(slot.tolist()) == {DAMAGED}
    _replace(receiver, session, index + window)
    assert slot.tobytes() == payload(index + window)[:size]


def _take_back(receiver: ReceiverProgram, session: Session, index: int) -> None:
    session.rows()[index % session.terms.window] = DAMAGED
    receiver.want(session, index)


def _replace(receiver: ReceiverProgram, session: Session, index: int) -> None:
    """Until the slot may be read again."""
    again = frame(session, index, Flag.CHECKSUM | Flag.AGAIN)
    while _is_wanted(session, index):
        run_packet(receiver.fd, again)


def _is_wanted(session: Session, index: int) -> bool:
    word = int(session.state["wanted"][index % 65536 // 64])
    return bool(word >> index % 64 & 1)
