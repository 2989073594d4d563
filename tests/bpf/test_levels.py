# SPDX-License-Identifier: GPL-2.0-only
"""Both programs at every level: a handful of packets, frames of others, damaged and cut ones, and what leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

import numpy as np
import pytest

from tests.bpf.conftest import Programs
from tests.bpf.frames import headed
from tests.bpf.programs import DROP, PASS, REDIRECT, TX, ReceiverProgram, SenderProgram, SendingLane
from tests.bpf.receiver_pair import ReceiverPair
from tests.bpf.sender_pair import SenderPair
from tests.frames_seen import assert_seen, chatter
from tests.levels import SENDER_TO_RECEIVER, SHARED, answer_ends, framed, template
from tests.twins import data_packet
from towline.framing import DST, ETHERNET, IPV6, LEVELS, UDP6, Level, Numbers
from towline.kernel.netns import inside
from towline.wire import DATA_LEAST_BYTES, HEADER_BYTES, Flag, Kind, decode_untrusted

FLUSH, CHECKSUM, AGAIN = Flag.FLUSH, Flag.CHECKSUM, Flag.AGAIN
BOTH = pytest.mark.parametrize("delivery", ["direct", "ring"])
TO_SENDER = SENDER_TO_RECEIVER.turned()
SIZES = (1, 79, 80, 81, 700, 1401)

# A program for each level alone, and one that serves four of them: (program, level of the session).
SERVED = [(name, level) for name, level in LEVELS.items()] + [("shared", level) for level in SHARED]
RECEIVERS = pytest.mark.parametrize(
    ("receiver", "level"), SERVED, ids=[f"{p}-{level.name}" for p, level in SERVED], indirect=["receiver"]
)
SENDERS = pytest.mark.parametrize("sender", LEVELS, indirect=True)


# ---- receiving


@RECEIVERS
@BOTH
def test_receiver__a_handful(receiver: ReceiverProgram, level: Level, delivery: str) -> None:
    """The pair compares every byte of every answer, its frame included."""
    pair = ReceiverPair(receiver, level=level, delivery=delivery, payload_size=1401, ack_every=4)
    rng = Random(level.number)
    verdicts = [pair.data(n, rng.randbytes(size), CHECKSUM, n)[0] for n, size in enumerate(SIZES)]
    assert verdicts == [DROP, DROP, DROP, TX, DROP, DROP]
    assert pair.data(8, b"behind a gap", FLUSH)[0] == TX
    assert pair.data(8, b"behind a gap", FLUSH | AGAIN)[0] == TX
    assert pair.data(64, b"out of window")[0] == DROP
    assert pair.session.counters()["placed"] == len(SIZES) + 1


@RECEIVERS
def test_receiver__tells_that_the_ring_is_full(receiver: ReceiverProgram, level: Level) -> None:
    pair = ReceiverPair(receiver, level=level, delivery="ring", ring_size=1 << 14, ack_every=100)
    answers = [pair.data(n, b"x")[1] for n in range(pair.room + 2)]
    kinds = [answer.kind if answer else None for answer in answers]
    assert kinds == [*[None] * pair.room, Kind.NACK, None]


@RECEIVERS
def test_receiver__a_long_acknowledgement(receiver: ReceiverProgram, level: Level) -> None:
    """Two checksums over an odd number of words, and nothing behind them."""
    pair = ReceiverPair(receiver, level=level, payload_size=1401, window=1024, ack_every=256)
    for index in range(1, 1024, 97):
        assert pair.data(index, Random(index).randbytes(1401), FLUSH)[0] == TX


@RECEIVERS
def test_receiver__answers_as_others_see_it(receiver: ReceiverProgram, level: Level) -> None:
    pair = ReceiverPair(receiver, level=level, ack_every=1)
    verdict, after = receiver.run(pair.whole(data_packet(pair.number, 0, b"x", timestamp=5)))
    assert verdict == TX
    message = decode_untrusted(after[level.frame_bytes :])
    assert (message.kind, message.index, message.timestamp) == (Kind.ACK, 1, 5)
    end = None if len(after) == 60 else len(after)
    assert_seen(level, after[:end], TO_SENDER, after[level.frame_bytes :])


@RECEIVERS
def test_receiver__every_bit_of_the_frame(receiver: ReceiverProgram, level: Level) -> None:
    """One bit is another: what routers may change is ours all the same, the rest is nobody's."""
    pair = ReceiverPair(receiver, level=level, ack_every=1)
    whole = pair.whole(data_packet(pair.number, 0, b"x"))
    for bit in range(8 * level.frame_bytes):
        turned = bytearray(whole)
        turned[bit // 8] ^= 1 << bit % 8
        pair.run(bytes(turned))
    pair.compare()


@RECEIVERS
def test_receiver__every_length(receiver: ReceiverProgram, level: Level) -> None:
    pair = ReceiverPair(receiver, level=level, ack_every=1)
    whole = pair.whole(data_packet(pair.number, 0, b"x" * 90))
    least = level.frame_bytes + HEADER_BYTES
    for length in range(14, len(whole)):
        verdict, _ = pair.run(whole[:length])
        assert verdict == (PASS if length < least else DROP)
    assert pair.session.counters()["malformed"] == len(whole) - max(least, 14)
    pair.compare()


@RECEIVERS
def test_receiver__others_pass(receiver: ReceiverProgram, level: Level) -> None:
    """Whatever it serves: nothing here is the session's, though most of it holds a packet of the session."""
    pair = ReceiverPair(receiver, level=level, ack_every=1)
    packet = data_packet(pair.number, 0, b"x")
    for name, frame in chatter(SENDER_TO_RECEIVER, packet).items():
        if name != "other type" or level.frame_bytes >= ETHERNET.frame_bytes:  # else its type is within our header
            assert receiver.run(frame) == (PASS, frame), name
    pair.compare()


@pytest.mark.parametrize("receiver", ["shared"], indirect=True)
@pytest.mark.parametrize("level", SHARED, ids=lambda level: level.name)
def test_receiver__a_session_is_of_one_level(receiver: ReceiverProgram, level: Level) -> None:
    pair = ReceiverPair(receiver, level=level, ack_every=1)
    packet = data_packet(pair.number, 0, b"x")
    for other in SHARED:
        whole = framed(other, SENDER_TO_RECEIVER, packet)
        assert receiver.run(whole)[0] == (TX if other is level else PASS), other.name


@pytest.mark.parametrize("receiver", ["shared"], indirect=True)
def test_receiver__sessions_of_all_levels_at_once(receiver: ReceiverProgram) -> None:
    pairs = [ReceiverPair(receiver, level=level, ack_every=2) for level in SHARED]
    for index in range(6):
        for pair in pairs:
            pair.data(index, pair.level.name.encode())
    assert all(pair.session.counters()["placed"] == 6 for pair in pairs)


@pytest.mark.parametrize("receiver", ["dst"], indirect=True)
def test_receiver__at_dst_answers_go_where_the_session_says(receiver: ReceiverProgram) -> None:
    pair = ReceiverPair(receiver, ack_every=1)
    pair.session.state["reply"][:6] = bytearray(b"\x02other")
    verdict, after = receiver.run(pair.whole(data_packet(pair.number, 0, b"x")))
    assert (verdict, after[: DST.frame_bytes]) == (TX, b"\x02other")


@pytest.mark.parametrize("receiver", ["ipv6", "udp6", "udp4"], indirect=True)
def test_receiver__what_routers_change_is_not_sent_back(receiver: ReceiverProgram) -> None:
    """The answer goes to the last router, and has all its hops again."""
    pair = ReceiverPair(receiver, ack_every=1)
    level = pair.level
    whole = bytearray(pair.whole(data_packet(pair.number, 0, b"x")))
    whole[6:12] = b"\x02route"
    if level.family == UDP6.family:
        whole[14:18], whole[21] = b"\x6a\xbc\xde\xf0", 1
    else:
        whole[15], whole[18:20], whole[22] = 0xFF, b"\x12\x34", 1
    verdict, after = receiver.run(bytes(whole))
    packet = after[level.frame_bytes :]
    assert verdict == TX
    assert after == framed(level, answer_ends(level, bytes(whole)), packet)
    assert_seen(level, after, replace(TO_SENDER, destination_mac=b"\x02route"), packet)


# ---- hearing


@SENDERS
@BOTH
def test_sender__a_handful(sender: SenderProgram, delivery: str) -> None:
    pair = SenderPair(sender, delivery=delivery, window=1024)
    pair.sent(1024)
    assert pair.ack(3, 9, 0b101010000) == DROP
    assert pair.ack(10, 700, *[(1 << 64) // 3] * 11, timestamp=1) == DROP
    assert pair.nack((3, 4), (9, 1)) == (DROP if delivery == "ring" else PASS)
    assert [int(pair.state[name]) for name in ("base", "highest", "corrupt")] == [10, 700, 0]


@SENDERS
def test_sender__every_bit_of_frame_and_packet(sender: SenderProgram) -> None:
    """The pair's twin says what becomes of each: of a damaged packet, nothing."""
    pair = SenderPair(sender)
    pair.sent(64)
    fields = b"".join(number.to_bytes(4) for number in (64, 9, 0, 0))
    packet = headed(Kind.ACK, pair.lane.session, fields + (0b101010000).to_bytes(8), index=3)
    whole = pair.whole(packet)
    for bit in range(8 * len(whole)):
        turned = bytearray(whole)
        turned[bit // 8] ^= 1 << bit % 8
        pair.run(bytes(turned))
    pair.compare(0)
    assert int(pair.state["corrupt"]) > 8 * (len(packet) - 12)  # all but magic, kind, length and session


@SENDERS
def test_sender__others_pass(sender: SenderProgram) -> None:
    pair = SenderPair(sender, delivery="ring")
    packet = data_packet(pair.lane.session, 0, b"x")
    packet = packet[:1] + bytes([Kind.ACK << 4]) + packet[2:]
    for name, frame in chatter(TO_SENDER, packet).items():
        if name != "other type" or sender.level.frame_bytes >= ETHERNET.frame_bytes:
            assert sender.run(frame) == (PASS, frame), name


# ---- sending


def leave(sender: SenderProgram, lane: SendingLane, payload: bytes, flags: int, index: int = 0) -> bytes:
    """The frame that leaves with a payload, out of a page that held something else."""
    lane.live.slots.rows()[index % lane.terms.window, : len(payload)] = np.frombuffer(payload, np.uint8)
    entry = lane.live._bursts._entries[int(lane.state["next"]) : int(lane.state["next"]) + 1]
    entry["index"], entry["length"], entry["flags"] = index, len(payload), flags
    stale = b"\xa5" * (lane.level.frame_bytes + HEADER_BYTES + 2000)
    verdict, after = sender.run(stale, lane.mark)
    assert verdict == REDIRECT
    return after


@SENDERS
@pytest.mark.parametrize("flags", [Flag.NONE, CHECKSUM], ids=["", "checksum"])
def test_transmit__as_others_see_it(sender: SenderProgram, flags: Flag) -> None:
    level = sender.level
    largest = min(level.largest_payload_bytes(3442), 3370)
    lane = sender.lane(payload_size=largest)
    for size in (*SIZES, largest):
        payload = Random(size).randbytes(size)
        after = leave(sender, lane, payload, flags)
        packet = after[level.frame_bytes :]
        assert after == framed(level, SENDER_TO_RECEIVER, packet), "not what framing.py makes"
        assert_seen(level, after, SENDER_TO_RECEIVER, packet)
        assert decode_untrusted(packet).tail == payload
        assert packet[HEADER_BYTES:] == payload.ljust(DATA_LEAST_BYTES, b"\0"), "stale bytes left"


@pytest.mark.parametrize("sender", ["udp6", "udp4"], indirect=True)
def test_transmit__a_checksum_of_zero_is_sent_as_ones(sender: SenderProgram) -> None:
    """The same packet twice, its payload the one's complement of what the sum lacked."""
    lane, ports = sender.lane(), sender.level.frame_bytes - 8
    first = leave(sender, lane, bytes(100), 0)
    lacked = first[ports + 6 : ports + 8]
    second = leave(sender, lane, lacked + bytes(98), 0)
    assert second[ports + 6 : ports + 8] == b"\xff\xff"
    assert second == framed(sender.level, SENDER_TO_RECEIVER, second[sender.level.frame_bytes :])


# ---- numbers


@pytest.mark.parametrize("numbers", [Numbers(ethertype=1501), Numbers(ethertype=0x88B5, next_header=253)], ids=str)
@pytest.mark.parametrize("level", [ETHERNET, IPV6], ids=lambda level: level.name)
def test_numbers__are_settings(programs: Programs, namespace: str, level: Level, numbers: Numbers) -> None:
    links = programs.pair()
    made: list[Callable[[], None]] = []
    with inside(namespace):
        receiver = ReceiverProgram(links[0], level, numbers=numbers)
        made.append(receiver.close)
        sender = SenderProgram(links[1], level, numbers=numbers)
        made.append(sender.close)
    try:
        session = receiver.open(ack_every=1)
        lane = sender.lane(session=session.number)
        lane.state["sent_end"] = 1
        sent = leave(sender, lane, b"x" * 100, CHECKSUM)
        assert_seen(level, sent, SENDER_TO_RECEIVER, sent[level.frame_bytes :], numbers)
        verdict, answer = receiver.run(sent)
        assert verdict == TX
        assert answer.startswith(template(level, TO_SENDER, numbers)[:14])
        assert sender.run(answer)[0] == DROP
        assert (int(session.state["placed"]), int(lane.state["acks"]), int(lane.state["base"])) == (1, 1, 1)
        usual = framed(level, SENDER_TO_RECEIVER, sent[level.frame_bytes :])
        if usual != sent:
            assert receiver.run(usual) == (PASS, usual)
    finally:
        for close in made:
            close()
