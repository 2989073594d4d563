# SPDX-License-Identifier: GPL-2.0-only
"""Sessions as the memory of a program shows them: the open ones, and of each what its side knows."""

from __future__ import annotations

import os

import pytest

from tests.levels import SENDER_TO_RECEIVER, framed
from tests.running.conftest import Both
from tests.twins import data_packet
from towline.kernel.attached import Program
from towline.kernel.successor import states
from towline.running.sessions import RECEIVER_COUNTERS, SENDER_COUNTERS, Session, sessions
from towline.transmit.lane import BURST_MOST

EDGE = 1 << 32


def seen(fd: int) -> list[Session]:
    """As who has only the loaded program sees them."""
    with Program(os.dup(fd)) as program:
        return sessions(program)


def feed(both: Both, session: int, index: int) -> None:
    """A packet arrives at the receiver."""
    both.receiver.run(framed(both.receiver.level, SENDER_TO_RECEIVER, data_packet(session, index, bytes(100))))


def test_sessions__none_is_open(both: Both) -> None:
    assert seen(both.receiver.fd) == []
    both.sender.lane().state["session"] = 0
    assert seen(both.sender.fd) == []


def test_sessions__a_receivers_open_and_close(both: Both) -> None:
    first, second = both.receiver.open(window=64), both.receiver.open(window=128, ack_every=4)
    found = {one.number: one.window for one in seen(both.receiver.fd)}
    assert found == {first.number: 64, second.number: 128}
    both.receiver.xdp.close_session(first.number)
    both.receiver._sessions.remove(first)
    assert [one.number for one in seen(both.receiver.fd)] == [second.number]


def test_sessions__what_a_receiver_knows(both: Both) -> None:
    opened = both.receiver.open(window=64, payload_size=100, ack_every=2)
    for index in (0, 1, 2, 2, 4):
        feed(both, opened.number, index)
    [found] = seen(both.receiver.fd)
    assert (found.number, found.level, found.delivery) == (opened.number, "ethernet", "direct")
    assert (found.window, found.payload_size) == (64, 100)
    assert (found.packets, found.outstanding) == (4, 5)  # 3 is missing, and nothing is drained
    assert (found.rtt_us, found.retransmissions) == (None, None)  # the sender's to know
    assert found.served_by == both.receiver.xdp._object.constants()["program_version"][0] == 1
    assert set(found.counters) == set(RECEIVER_COUNTERS)
    assert (found.counters["placed"], found.counters["duplicates"]) == (4, 1)
    assert found.counters["acks"] == int(opened.state["acks"]) > 0
    opened.state["drained"] = 3
    assert seen(both.receiver.fd)[0].outstanding == 2


def test_sessions__how_full_the_ring_is(both: Both) -> None:
    def fills() -> list[float]:
        return [-1.0 if one.ring_fill is None else one.ring_fill for one in seen(both.receiver.fd)]

    opened = both.receiver.open(window=64, payload_size=100, delivery="ring")
    found = fills()
    for index in range(4):
        feed(both, opened.number, index)
        found += fills()
    assert found == [pytest.approx(index * found[1]) for index in range(5)]  # nobody takes anything out
    assert found[1] > 0
    both.receiver.open(window=64)
    assert fills() == [found[-1], -1.0]  # delivery direct has none


def test_sessions__a_session_that_has_seen_no_packet(both: Both) -> None:
    both.receiver.open()
    [found] = seen(both.receiver.fd)
    assert (found.served_by, found.packets, found.outstanding) == (0, 0, 0)


def test_sessions__the_delivery_is_named(both: Both) -> None:
    both.sender.lane(delivery="ring")
    assert [one.delivery for one in seen(both.sender.fd)] == ["ring"]


def test_sessions__what_a_sender_knows(both: Both) -> None:
    state = both.sender.lane(session=0xABC, window=64, payload_size=100).state
    for name, value in {"base": 40, "limit": 104, "sent_end": 60, "sent": 65, "acks": 9, "nacks": 2}.items():
        state[name] = value
    [found] = seen(both.sender.fd)
    assert (found.number, found.level, found.delivery) == (0xABC, "ethernet", "direct")
    assert (found.window, found.payload_size) == (64, 100)
    assert (found.packets, found.outstanding, found.retransmissions) == (40, 20, 5)
    assert set(found.counters) == set(SENDER_COUNTERS)
    assert (found.counters["acks"], found.counters["nacks"]) == (9, 2)


@pytest.mark.parametrize(
    ("copies", "sent", "expected"),
    [
        (1, 60, 0),
        (1, 30, 0),  # a burst is leaving
        (3, 186, 2),
        (0, 61, 1),  # a program of before did not know of copies
        (1, 0, None),  # a socket sends
    ],
)
def test_sessions__what_was_sent_again_is_neither_new_nor_a_copy(
    both: Both, copies: int, sent: int, expected: int | None
) -> None:
    state = both.sender.lane(window=64).state
    first = (1 << 32) - 30
    for name, value in {"first": first, "sent_end": 30, "sent": sent, "copies": copies}.items():
        state[name] = value
    assert seen(both.sender.fd)[0].retransmissions == expected


def test_sessions__what_is_sent_by_a_socket_now_is_not_known(both: Both) -> None:
    state = both.sender.lane(window=64).state
    state["sent"], state["sent_end"] = 1000, 1001 + BURST_MOST
    assert seen(both.sender.fd)[0].retransmissions is None


def test_sessions__a_round_trip_is_known_when_one_was_measured(both: Both) -> None:
    state = both.sender.lane().state
    state["rtt_us"] = 250
    assert seen(both.sender.fd)[0].rtt_us is None
    state["rtt_samples"] = 1
    assert seen(both.sender.fd)[0].rtt_us == 250


@pytest.mark.parametrize(
    ("sent_end", "outstanding"), [(EDGE - 5, 5), (EDGE, 10), (EDGE + 20, 30), (EDGE - 20, 0)], ids=str
)
def test_sessions__what_is_outstanding_wraps_with_the_index(both: Both, sent_end: int, outstanding: int) -> None:
    state = both.sender.lane(window=64).state
    state["limit"] = EDGE + 54 & EDGE - 1  # drained: ten before the edge
    state["sent_end"] = sent_end & EDGE - 1  # the last: behind what is drained, as between two reads
    assert seen(both.sender.fd)[0].outstanding == outstanding


def test_sessions__an_unknown_level_is_no_error(both: Both) -> None:
    both.sender.lane().state["level"] = 99
    assert [one.level for one in seen(both.sender.fd)] == ["?"]


def test_states__are_the_memory_itself_and_outlive_the_descriptor(both: Both) -> None:
    with Program(os.dup(both.receiver.fd)) as program:
        rows = states(program)
    opened = both.receiver.open()
    assert int(rows["session"][opened.slot]) == opened.number  # as it is now, not as it was
    assert sum(1 for number in rows["session"] if number) == 1
