# SPDX-License-Identifier: GPL-2.0-only
"""What the receiver's half in the kernel does, packet by packet: one table for both of its twins, Python and XDP.

A case is a session and a script. `Packet` is one DATA packet (or something that is none) with what must come of it:
the verdict, the reply's fields, and what was counted. Counters that are not named must not move, and payload stands in
its slot or its ring record exactly if `placed` was counted. Indices are as on the wire.
"""

from __future__ import annotations

from tests.scripts import (
    PAYLOAD_BYTES,
    ROOM,
    WRAP,
    Ack,
    Case,
    Drain,
    Full,
    Packet,
    Setup,
    Take,
    Want,
    duplicate,
    malformed,
    outside,
    placed,
    refused,
)
from towline.wire import DATA_LEAST_BYTES, HEADER_BYTES, Flag, Kind

FLUSH, CHECKSUM, AGAIN = Flag.FLUSH, Flag.CHECKSUM, Flag.AGAIN
RING_BITS = 2 * 65536  # of the bitmap ring
BITS_1_3_5 = 0b101010
TWO_AT_A_TIME = Setup(ack_every=2)
FEW_RECORDS = Setup(ack_every=3, ring_room=True, deliveries=("ring",))
# Only the last of a window of 1024 arrives: 16 words lie between base and highest; an ACK in a small packet has 8.
ROTATING = Setup(window=1024, ack_every=256, payload_size=DATA_LEAST_BYTES)
LAST_BIT = (*[0] * 7, 1 << 63)


def _shown(index: int, first: int, words: tuple[int, ...], count: dict[str, int]) -> Packet:
    ack = Ack(base=0, limit=1024, highest=1024, first=first, words=words)
    return Packet(index=index, length=1, flags=FLUSH, verdict="tx", reply=ack, counted={"acks": 1, **count})


CASES = (
    Case(
        name="in order, and an ACK for every second",
        setup=TWO_AT_A_TIME,
        steps=(
            placed(0),
            placed(1, reply=Ack(base=2, limit=64, highest=2)),
            placed(2),
            placed(3, reply=Ack(base=4, limit=64, highest=4)),
        ),
    ),
    Case(name="an ACK for each", setup=Setup(ack_every=1), steps=(placed(0, reply=Ack(base=1, limit=64, highest=1)),)),
    Case(
        name="FLUSH is answered at once, and counting starts anew",
        setup=TWO_AT_A_TIME,
        steps=(
            placed(0, FLUSH, reply=Ack(base=1, limit=64, highest=1)),
            placed(1),
            placed(2, reply=Ack(base=3, limit=64, highest=3)),
        ),
    ),
    Case(
        name="out of order: base stays, the bitmap shows the rest; the gaps close",
        steps=(
            placed(1),
            placed(5),
            placed(3, FLUSH, reply=Ack(base=0, limit=64, highest=6, words=(BITS_1_3_5,))),
            placed(0, FLUSH, reply=Ack(base=2, limit=64, highest=6, words=(0b101000,))),
            placed(4),
            placed(2, FLUSH, reply=Ack(base=6, limit=64, highest=6)),
            placed(6, FLUSH, reply=Ack(base=7, limit=64, highest=7)),
        ),
    ),
    Case(
        name="short packets, and the longest",
        steps=(placed(0, length=1), placed(1, length=79), placed(2, length=80), placed(3, length=PAYLOAD_BYTES)),
    ),
    Case(name="a payload that is covered", steps=(placed(0, CHECKSUM), placed(1, CHECKSUM, length=99))),
    Case(
        name="duplicate, below the cursor and above it",
        steps=(placed(0), duplicate(0), placed(2), duplicate(2), placed(1), duplicate(2, CHECKSUM)),
    ),
    Case(
        name="a duplicate counts towards the ACK",
        setup=TWO_AT_A_TIME,
        steps=(placed(0), duplicate(0, reply=Ack(base=1, limit=64, highest=1))),
    ),
    Case(
        name="a duplicate with FLUSH is answered",
        steps=(placed(0), duplicate(0, FLUSH, reply=Ack(base=1, limit=64, highest=1))),
    ),
    Case(
        name="useless retransmissions are counted and told",
        steps=(
            placed(0, AGAIN),
            duplicate(0),
            duplicate(0, AGAIN),
            duplicate(0, AGAIN | FLUSH, reply=Ack(base=1, limit=64, highest=1, useless=2)),
        ),
    ),
    Case(
        name="below drained",
        steps=(
            placed(0),
            placed(1),
            Drain(2),
            duplicate(0),
            duplicate(1, FLUSH, reply=Ack(base=2, limit=66, highest=2)),
        ),
    ),
    Case(
        name="at limit - 1, and at limit",
        steps=(
            placed(63, FLUSH, reply=Ack(base=0, limit=64, highest=64, words=(1 << 63,))),
            outside(64),
            outside(64, FLUSH, reply=Ack(base=0, limit=64, highest=64, words=(1 << 63,))),
            outside(65),
            outside((1 << 31) - 1),
            duplicate(1 << 31),
        ),
    ),
    Case(
        name="the window moves when the process drains",
        setup=Setup(ack_every=64),
        steps=(
            *(placed(i) for i in range(63)),
            placed(63, FLUSH, reply=Ack(base=64, limit=64, highest=64)),
            outside(64),
            Drain(16),
            placed(64),
            placed(79, FLUSH, reply=Ack(base=65, limit=80, highest=80, first=1, words=(1 << 15,))),
            outside(80),
        ),
    ),
    Case(
        name="wanted, and it comes with CHECKSUM: once",
        steps=(
            placed(0),
            placed(1),
            Want(0),
            placed(0, CHECKSUM | AGAIN, reply=None),
            duplicate(0, CHECKSUM | AGAIN),
            duplicate(1, CHECKSUM),
        ),
    ),
    Case(
        name="wanted, but without CHECKSUM",
        steps=(placed(0), Want(0), duplicate(0, AGAIN), placed(0, CHECKSUM | AGAIN)),
    ),
    Case(
        name="what was taken back is still below base",
        steps=(
            placed(0),
            placed(1, FLUSH, reply=Ack(base=2, limit=64, highest=2)),
            Want(0),
            placed(2, FLUSH, reply=Ack(base=3, limit=64, highest=3)),
            placed(0, CHECKSUM | FLUSH, reply=Ack(base=3, limit=64, highest=3)),
        ),
    ),
    Case(
        name="a duplicate of i - window while i is wanted",
        setup=Setup(ack_every=100),
        steps=(
            *(placed(i) for i in range(64)),
            Drain(10),
            *(placed(i) for i in range(64, 70)),
            Want(66),
            duplicate(2, CHECKSUM | AGAIN),
            duplicate(2, CHECKSUM),
            placed(66, CHECKSUM),
        ),
    ),
    Case(
        name="a wrong check: nobody's packet, counted towards nothing",
        setup=TWO_AT_A_TIME,
        steps=(
            placed(0),
            *(Packet(index=1, flags=FLUSH, flip=at, counted={"corrupt": 1}) for at in (15, 16, 20, 23)),
            placed(1, reply=Ack(base=2, limit=64, highest=2)),
        ),
    ),
    Case(
        name="a damaged payload is found with CHECKSUM only",
        steps=(
            Packet(index=0, flags=CHECKSUM, flip=HEADER_BYTES, counted={"corrupt": 1}),
            Packet(index=0, flags=CHECKSUM, flip=HEADER_BYTES + PAYLOAD_BYTES - 1, counted={"corrupt": 1}),
            Packet(index=0, length=1, flags=CHECKSUM, flip=HEADER_BYTES + 1, counted={"placed": 1}),  # padding
            Packet(index=1, flip=HEADER_BYTES, counted={"placed": 1}),
        ),
    ),
    Case(
        name="a wrong length",
        setup=Setup(payload_size=200),
        steps=(
            malformed(claimed=0),
            malformed(claimed=101),
            malformed(claimed=201, length=201),
            malformed(claimed=65535),
            malformed(cut=1),
            malformed(length=1, cut=1),  # shorter than DATA is padded to: no room for an ACK
            malformed(length=80, cut=80),
        ),
    ),
    Case(
        name="not ours, and of no session here",
        steps=(
            Packet(index=0, magic=0xBC, verdict="pass", counted={"not_ours": 1}),
            Packet(index=0, cut=PAYLOAD_BYTES + 1, verdict="pass", counted={"not_ours": 1}),
            Packet(index=0, other_session=True, verdict="pass", counted={"strangers": 1}),
            Packet(index=0, kind=Kind.FIN, verdict="pass", counted={"strangers": 1}),
            Packet(index=0, kind=Kind.ACK, verdict="pass", counted={"strangers": 1}),
        ),
    ),
    Case(
        name="ring full: FULL is told once until the next ACK",
        setup=FEW_RECORDS,
        steps=(
            placed(0),
            placed(1),
            placed(2, reply=Ack(base=3, limit=64, highest=3)),
            placed(3),
            refused(4, reply=Full(4)),
            refused(5, reply=Ack(base=4, limit=64, highest=4)),
            refused(6, reply=Full(6)),
            refused(7),
            Take(),
            placed(5, reply=Ack(base=4, limit=64, highest=6, words=(1 << 5,))),
            placed(4, FLUSH, reply=Ack(base=6, limit=64, highest=6)),
        ),
    ),
    Case(
        name="ring full: FLUSH is an ACK, and what was refused is not in it",
        setup=FEW_RECORDS,
        steps=(
            *(placed(i, FLUSH, reply=Ack(base=i + 1, limit=64, highest=i + 1)) for i in range(ROOM)),
            refused(ROOM, FLUSH, reply=Ack(base=ROOM, limit=64, highest=ROOM)),
            duplicate(0),
            outside(64),
        ),
    ),
    Case(
        name="ring full: what is wanted stays wanted",
        setup=FEW_RECORDS,
        steps=(
            *(placed(i, FLUSH, reply=Ack(base=i + 1, limit=64, highest=i + 1)) for i in range(ROOM)),
            Want(0),
            refused(0, CHECKSUM, reply=Full(0)),
            Take(),
            placed(0, CHECKSUM),
            duplicate(0, CHECKSUM, reply=Ack(base=ROOM, limit=64, highest=ROOM)),
        ),
    ),
    Case(
        name="every third record is short, and counts as placed",
        setup=Setup(short_every=3, deliveries=("ring",)),
        steps=(
            placed(0),
            placed(1),
            Packet(index=2, counted={"placed": 1}, committed=PAYLOAD_BYTES // 2),
            duplicate(2, CHECKSUM),
            placed(3),
            placed(4),
            Packet(index=5, length=1, counted={"placed": 1}, committed=0),
        ),
    ),
    Case(
        name="indices wrap",
        setup=Setup(first_index=WRAP - 2),
        steps=(
            placed(WRAP - 2),
            placed(0),
            duplicate(WRAP - 3),
            placed(WRAP - 1, FLUSH, reply=Ack(base=1, limit=62, highest=1)),
            outside(62),
            placed(61, FLUSH, reply=Ack(base=1, limit=62, highest=62, words=(1 << 61,))),
        ),
    ),
    Case(
        name="the numbers of bitmap words wrap, modulo 2^26",
        setup=Setup(first_index=WRAP - 32),
        steps=(
            placed(WRAP - 1),
            placed(1, FLUSH, reply=Ack(base=WRAP - 32, limit=32, highest=2, first=(1 << 26) - 1, words=(1 << 63, 2))),
            *(placed(WRAP - 32 + i) for i in range(31)),
            placed(0, FLUSH, reply=Ack(base=2, limit=32, highest=2)),
        ),
    ),
    Case(
        name="the bitmap ring wraps",
        setup=Setup(first_index=RING_BITS - 32, ack_every=100),
        steps=(
            placed(RING_BITS - 1),
            placed(
                RING_BITS + 31,
                FLUSH,
                reply=Ack(
                    base=RING_BITS - 32,
                    limit=RING_BITS + 32,
                    highest=RING_BITS + 32,
                    first=RING_BITS // 64 - 1,
                    words=(1 << 63, 1 << 31),
                ),
            ),
            *(placed(RING_BITS + i) for i in range(-32, -1)),
            *(placed(RING_BITS + i) for i in range(30)),
            placed(RING_BITS + 30, FLUSH, reply=Ack(base=RING_BITS + 32, limit=RING_BITS + 32, highest=RING_BITS + 32)),
        ),
    ),
    Case(
        name="the cursor steps over whole words",
        setup=Setup(window=256, ack_every=64),
        steps=(
            *(placed(i) for i in range(1, 64)),
            placed(64, reply=Ack(base=0, limit=256, highest=65, words=((1 << 64) - 2, 1))),
            *(placed(i) for i in range(65, 128)),
            placed(200, reply=Ack(base=0, limit=256, highest=201, words=((1 << 64) - 2, (1 << 64) - 1, 0, 1 << 8))),
            placed(0, FLUSH, reply=Ack(base=128, limit=256, highest=201, first=2, words=(0, 1 << 8))),
        ),
    ),
    Case(
        name="more words than fit go round, and every fourth ACK shows those next to base",
        setup=ROTATING,
        steps=(
            _shown(1023, 0, (0,) * 8, {"placed": 1}),
            _shown(1023, 8, LAST_BIT, {"duplicates": 1}),
            _shown(1023, 0, (0,) * 8, {"duplicates": 1}),
            _shown(1023, 0, (0,) * 8, {"duplicates": 1}),
            _shown(1023, 8, LAST_BIT, {"duplicates": 1}),
            _shown(1, 0, (2, *[0] * 7), {"placed": 1}),
            _shown(1, 8, LAST_BIT, {"duplicates": 1}),
            _shown(1023, 0, (2, *[0] * 7), {"duplicates": 1}),
        ),
    ),
    Case(
        name="a longer packet has room for more words",
        setup=Setup(window=1024, ack_every=256, payload_size=300),
        steps=(
            placed(1023, FLUSH, length=300, reply=Ack(base=0, limit=1024, highest=1024, words=(*[0] * 15, 1 << 63))),
            duplicate(1023, FLUSH, reply=Ack(base=0, limit=1024, highest=1024, first=0, words=(0,) * 10)),
        ),
    ),
)
