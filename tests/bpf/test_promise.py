# SPDX-License-Identifier: GPL-2.0-only
"""An acknowledgement means placed: packets show it of receiver.h, and notice where the order is wrong."""

from __future__ import annotations

import pytest

from tests.bpf.conftest import Mutate
from tests.bpf.programs import TO_RECEIVER, TX, ReceiverProgram
from tests.twins import data_packet
from towline.framing import ETHERNET
from towline.wire import Flag, Kind, Message, decode_untrusted

PAYLOAD = b"payload!" * 12


def check_promise(program: ReceiverProgram) -> None:
    """A ring for four records takes ten packets, each of which is answered; then it is emptied, and they come again."""
    session = program.open(delivery="ring", ack_every=1, ring_size=1 << 14)
    in_ring: set[int] = set()
    for attempt in range(4):
        told = [_answer(program, session.number, index) for index in range(10)]
        in_ring |= {index for index, _, _ in session.records()}
        assert all(_acknowledged(answer) <= in_ring for answer in told)
        assert len(in_ring) == min(10, 4 * (attempt + 1))
    assert _acknowledged(told[-1]) == set(range(10))


def check_promptness(program: ReceiverProgram) -> None:
    """An ACK knows of the packet that was due it: what it says is as fresh as can be."""
    session = program.open(ack_every=1)
    for index in (0, 1, 3, 2):
        assert index in _acknowledged(_answer(program, session.number, index))
        assert session.rows()[index, : len(PAYLOAD)].tobytes() == PAYLOAD


def _answer(program: ReceiverProgram, session: int, index: int) -> Message:
    frame = TO_RECEIVER + data_packet(session, index, PAYLOAD, Flag.CHECKSUM)
    verdict, answer = program.run(frame)
    assert verdict == TX
    message = decode_untrusted(answer[ETHERNET.frame_bytes :])
    assert message.kind is Kind.ACK
    return message


def _acknowledged(answer: Message) -> set[int]:
    """Every packet that an ACK says is placed."""
    first = 64 * answer.fields["first"]
    bits = int.from_bytes(b"".join(reversed([answer.tail[at : at + 8] for at in range(0, len(answer.tail), 8)])))
    shown = {first + n for n in range(bits.bit_length()) if bits >> n & 1}
    return shown | set(range(answer.index))


def test_promise__holds(receiver: ReceiverProgram) -> None:
    assert (1 << 14) // (8 + receiver.xdp._record.itemsize) == 4  # the ring that is filled here
    check_promise(receiver)
    check_promptness(receiver)


PLACE = """	outcome = deliver(ctx, r, d);
	if (outcome != PLACED)
		return outcome;
"""
MARK = """	if (arrived)
		clear_wanted(r, d->index);
	else
		mark_arrived(r, d->index);
"""
RECEIVE = """	enum outcome outcome = place(ctx, r, d);

	count_outcome(r, outcome, d->flags);
	if (acknowledgement_due(r, d->flags)) {
		compose_acknowledgement(r, d, packet_bytes, reply);
		return true;
	}
"""
COMPOSE_FIRST = """	bool due = acknowledgement_due(r, d->flags);

	if (due)
		compose_acknowledgement(r, d, packet_bytes, reply);

	enum outcome outcome = place(ctx, r, d);

	count_outcome(r, outcome, d->flags);
	if (due)
		return true;
"""


def test_promise__a_packet_that_is_marked_before_it_is_placed_is_noticed(mutant: Mutate) -> None:
    program = mutant("receiver.h", (PLACE + MARK, MARK + PLACE))
    with pytest.raises(AssertionError):
        check_promise(program)


def test_promise__a_dropped_packet_that_counts_as_placed_is_noticed(mutant: Mutate) -> None:
    program = mutant("delivery.h", ("return RING_FULL;", "return PLACED;"))
    with pytest.raises(AssertionError):
        check_promise(program)


def test_promise__acknowledge_before_place_is_noticed(mutant: Mutate) -> None:
    program = mutant("receiver.h", (RECEIVE, COMPOSE_FIRST))
    with pytest.raises(AssertionError):
        check_promptness(program)


def test_promise__acknowledge_before_place_of_what_is_marked_already_is_noticed(mutant: Mutate) -> None:
    """Both together: the ACK tells of its packet, and then there is no room for it."""
    marked_first = COMPOSE_FIRST.replace(
        "	if (due)\n		compose",
        "	if (!has_arrived(r, d->index) && d->index - r->drained < r->window)\n"
        "		mark_arrived(r, d->index);\n	if (due)\n		compose",
    )
    program = mutant("receiver.h", (RECEIVE, marked_first))
    with pytest.raises(AssertionError):
        check_promise(program)
