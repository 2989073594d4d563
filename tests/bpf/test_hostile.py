# SPDX-License-Identifier: GPL-2.0-only
"""Random and mutated frames: nothing is placed or believed that is not valid, and others' traffic passes unchanged.

What is valid is said by the twins (which know no frame and share no code with the programs) and by wire.py.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from random import Random

import pytest

from tests.bpf.frames import headed, seal
from tests.bpf.programs import DROP, PASS, TX, ReceiverProgram, SenderProgram
from tests.bpf.receiver_pair import ReceiverPair
from tests.bpf.sender_pair import SenderPair
from tests.levels import is_in_frame
from tests.twins import data_packet
from towline.errors import MalformedError
from towline.framing import ETHERNET, LEVELS, Level
from towline.wire import HEADER_BYTES, Flag, Kind, decode_untrusted

FRAMES, FEWER_FRAMES = 30_000, 5_000  # at level ethernet by each of four tests, and at each of the others
BATCH = 500
LEAST, MOST = 14, 3500  # what the kernel takes for a frame

# The seed stands in a test's name; `make test` takes one of them.
SEEDS = pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.acceptance) for n in range(1, 11))])
BOTH = pytest.mark.parametrize("delivery", ["direct", "ring"])

Mutation = Callable[[Random, bytes, int], bytes]  # what stands before the header: so many bytes


def flip(rng: Random, frame: bytes, _front: int) -> bytes:
    """A few bits, anywhere."""
    damaged = bytearray(frame)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        damaged[rng.randrange(len(frame))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def flip_header(rng: Random, frame: bytes, front: int) -> bytes:
    """A bit of what is read first."""
    damaged = bytearray(frame)
    damaged[rng.randrange(front + HEADER_BYTES)] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def resealed(rng: Random, frame: bytes, front: int) -> bytes:
    """A header that is wrong, and its check right: only what it says can give it away."""
    packet = bytearray(frame[front:])
    packet[rng.randrange(1, 20)] ^= 1 << rng.randrange(8)
    return frame[:front] + seal(bytes(packet))


def truncate(rng: Random, frame: bytes, _front: int) -> bytes:
    return frame[: rng.randrange(LEAST, len(frame))]


def extend(rng: Random, frame: bytes, _front: int) -> bytes:
    return frame + rng.randbytes(rng.randrange(1, 1500))


def other_type(rng: Random, frame: bytes, _front: int) -> bytes:
    kind = rng.choice((0x0800, 0x0806, 0x86DD, 0x8100, 1501, 0x0115, rng.randrange(1 << 16)))
    return frame[:12] + kind.to_bytes(2) + frame[14:]


def other_address(rng: Random, frame: bytes, _front: int) -> bytes:
    at = rng.choice((0, 6))
    return frame[:at] + rng.choice((b"\xff" * 6, rng.randbytes(6), frame[6:12])) + frame[at + 6 :]


def near_session(rng: Random, frame: bytes, front: int) -> bytes:
    """Another session, or the same slot with another number, checked all the same."""
    at = front + 4
    session = int.from_bytes(frame[at : at + 8]) ^ rng.choice((1 << rng.randrange(64), rng.getrandbits(64) & ~0xFFFF))
    return frame[:front] + seal(frame[front:at] + session.to_bytes(8) + frame[at + 8 :])


def other_kind(rng: Random, frame: bytes, front: int) -> bytes:
    packet = frame[front:]
    changed = bytes((packet[0], rng.randrange(256))) + packet[2:]
    return frame[:front] + seal(changed)


def noise(rng: Random, frame: bytes, _front: int) -> bytes:
    """Random bytes behind as much of a right beginning as chance wants."""
    size = rng.choice((LEAST, 38, 60, 118, rng.randrange(LEAST, MOST)))
    known = rng.choice((0, 12, 14, 15, 26, 38))
    return (frame[: min(known, size)] + rng.randbytes(size))[:size]


def untouched(_rng: Random, frame: bytes, _front: int) -> bytes:
    return frame


MUTATIONS: tuple[Mutation, ...] = (
    *(untouched, untouched, untouched, flip, flip, flip_header, resealed, truncate, extend),
    *(other_type, other_address, near_session, other_kind, noise),
)


def how_many(level: Level) -> int:
    """Frames of one test."""
    return FRAMES if level is ETHERNET else FEWER_FRAMES


def is_valid(frame: bytes, pair: ReceiverPair | SenderPair, session: int, kinds: tuple[Kind, ...]) -> bool:
    """By wire.py and tests/levels.py alone: a packet of that session, in its frame."""
    if not is_in_frame(pair.level, frame, pair.known):
        return False
    try:
        message = decode_untrusted(frame[pair.level.frame_bytes :])
    except MalformedError:
        return False
    return message.session == session and message.kind in kinds


@pytest.mark.parametrize("receiver", [*LEVELS, "shared"], indirect=True)
@SEEDS
@BOTH
def test_receiver__hostile_frames(receiver: ReceiverProgram, delivery: str, seed: int) -> None:
    rng, frames = Random(f"{seed} {delivery}"), how_many(receiver.level)
    pair = ReceiverPair(receiver, delivery=delivery, payload_size=200, ack_every=5, first_index=(1 << 32) - 4000)
    seen: Counter[tuple[bool, int]] = Counter()
    strangers = sum(receiver.strangers())
    for batch in range(frames // BATCH):
        for _ in range(BATCH):
            frame = rng.choice(MUTATIONS)(rng, _data_frame(rng, pair), pair.level.frame_bytes)
            before = pair.twin.counters["placed"]
            verdict, _ = pair.run(frame)
            placed = pair.twin.counters["placed"] > before
            seen[placed, verdict] += 1
            if placed or verdict == TX:
                assert is_valid(frame, pair, pair.number, (Kind.DATA,)), frame.hex()
        pair.compare()  # every slot, so that a batch places nothing that the twin does not know
        if delivery == "ring":
            pair.take()
        # The process moves on, and takes something back.
        cursor = pair.twin.ready
        pair.drain(cursor - rng.randrange(min(20, (cursor - pair.twin.drained & 0xFFFFFFFF) + 1)))
        if batch % 3 == 0 and cursor != pair.twin.drained:
            pair.want(pair.twin.drained)
    assert pair.twin.counters["placed"] > frames // 30
    assert min(seen[what] for what in ((True, DROP), (True, TX), (False, DROP), (False, TX))) > frames // 300
    assert sum(receiver.strangers()) - strangers == seen[False, PASS] > frames // 30


def _data_frame(rng: Random, pair: ReceiverPair) -> bytes:
    """A packet as the sender would send it, near the window."""
    twin = pair.twin
    index = (twin.cursor + rng.choice((0, 0, 0, 1, rng.randrange(-8, 8), rng.randrange(-80, 140)))) & 0xFFFFFFFF
    size = rng.choice((200, 200, rng.randrange(1, 201)))
    flags = rng.choice((Flag.NONE, Flag.CHECKSUM, Flag.CHECKSUM | Flag.AGAIN, Flag.FLUSH, Flag(rng.randrange(16))))
    return pair.whole(data_packet(pair.number, index, rng.randbytes(size), flags, rng.getrandbits(32)))


@pytest.mark.parametrize("sender", LEVELS, indirect=True)
@SEEDS
@BOTH
def test_sender__hostile_frames(sender: SenderProgram, delivery: str, seed: int) -> None:
    rng, frames = Random(f"{seed} {delivery}"), how_many(sender.level)
    pair = SenderPair(sender, delivery=delivery, window=1024, first_index=(1 << 32) - 20_000, ring_size=1 << 18)
    kinds = (Kind.ACK,) if delivery == "direct" else (Kind.ACK, Kind.NACK)
    state, end, strangers = pair.state, int(pair.state["base"]), sum(sender.strangers())
    for _ in range(frames // BATCH):
        for _ in range(BATCH):
            frame = rng.choice(MUTATIONS)(rng, _ack_frame(rng, pair, end), pair.level.frame_bytes)
            before = state["acks"] + state["nacks"] + state["full_nacks"]
            pair.run(frame)
            if state["acks"] + state["nacks"] + state["full_nacks"] != before:
                assert is_valid(frame, pair, pair.lane.session, kinds), frame.hex()
        pair.compare(time.monotonic_ns() // 1000)
        if delivery == "ring":
            pair.records()
        end = (int(state["base"]) + rng.randrange(200, 1000)) & 0xFFFFFFFF
        pair.sent(end)
    assert int(state["acks"]) > frames // 30
    assert int(state["corrupt"]) > frames // 30
    assert sum(sender.strangers()) - strangers > frames // 30


def _ack_frame(rng: Random, pair: SenderPair, end: int) -> bytes:
    """What a receiver would say, more or less."""
    base = int(pair.state["base"])
    base = (base + rng.choice((0, 1, rng.randrange(-5, 40)))) & 0xFFFFFFFF
    if rng.random() < 0.1:
        ranges = b"".join(rng.randbytes(8) for _ in range(rng.randrange(6)))
        body = headed(Kind.NACK, pair.lane.session, ranges, flags=rng.choice((0, Flag.FULL)))
    else:
        highest = (base + rng.choice((0, 0, rng.randrange(300)))) & 0xFFFFFFFF
        numbers = (base + rng.randrange(2000), highest, base // 64 + rng.choice((0, 0, 1, 3)), rng.randrange(9))
        words = b"".join(rng.randbytes(8) for _ in range(rng.choice((0, 1, 2, 8))))
        fixed = b"".join((number & 0xFFFFFFFF).to_bytes(4) for number in numbers)
        stamp = rng.choice((0, time.monotonic_ns() // 1000 & 0xFFFFFFFF))
        body = headed(Kind.ACK, pair.lane.session, fixed + words, index=base, timestamp=stamp)
    return pair.whole(body).ljust(60, b"\0")
