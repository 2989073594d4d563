# SPDX-License-Identifier: GPL-2.0-only
"""The language of cases.py, and the player that holds a script against one of the receiver's twins."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from tests.twins import Verdict, data_packet, header_check
from towline.wire import HEADER_BYTES, Flag, Kind, Message, decode_untrusted

PAYLOAD_BYTES = 100
ROOM = 4  # records that the ring buffer holds where a case sets `ring_room`
WRAP = 1 << 32
NO, AGAIN = Flag.NONE, Flag.AGAIN


@dataclass(frozen=True, kw_only=True)
class Setup:
    """The session; `ring_room`: its ring buffer holds ROOM records, else more than any case needs."""

    window: int = 64
    ack_every: int = 32
    payload_size: int = PAYLOAD_BYTES
    first_index: int = 0
    ring_room: bool = False
    short_every: int = 0
    deliveries: tuple[str, ...] = ("direct", "ring")


@dataclass(frozen=True, kw_only=True)
class Ack:
    """An ACK's fields; `words` from word `first` on, which is base's where it is 0. The timestamp is the packet's."""

    base: int
    limit: int
    highest: int
    first: int = 0
    words: tuple[int, ...] = ()
    useless: int = 0


@dataclass(frozen=True)
class Full:
    """A NACK with FULL for one index."""

    index: int


@dataclass(frozen=True, kw_only=True)
class Packet:
    """One packet and what comes of it. `length` of payload_of(index, length) leaves; what is wrong with it:

    `claimed`: the length that its header says; `cut`: bytes missing at its end; `flip`: the byte whose lowest bit is
    turned after the check was made; `kind`, `magic`, `other_session`: not this session's DATA, the check being right.
    """

    index: int
    length: int = PAYLOAD_BYTES
    flags: Flag = NO
    timestamp: int = 77
    claimed: int | None = None
    cut: int = 0
    flip: int | None = None
    kind: Kind = Kind.DATA
    magic: int = 0xBE
    other_session: bool = False
    verdict: Verdict = "drop"
    reply: Ack | Full | None = None
    counted: dict[str, int] = field(default_factory=dict)
    committed: int | None = None  # bytes of a short ring record

    def bytes_for(self, session: int) -> bytes:
        """The packet, without its frame."""
        number = session ^ 1 << 40 if self.other_session else session
        packet = data_packet(number, self.index, payload_of(self.index, self.length), self.flags, self.timestamp)
        if self.claimed is not None or self.kind != Kind.DATA or self.magic != packet[0]:
            claimed = self.length if self.claimed is None else self.claimed
            head = bytes((self.magic, self.kind << 4 | self.flags)) + claimed.to_bytes(2) + packet[4:20]
            packet = head + header_check(head, 0).to_bytes(4) + packet[HEADER_BYTES:]
        if self.flip is not None:
            packet = packet[: self.flip] + bytes([packet[self.flip] ^ 1]) + packet[self.flip + 1 :]
        return packet[: len(packet) - self.cut]


@dataclass(frozen=True)
class Drain:
    """The process lets go of every packet below."""

    to: int


@dataclass(frozen=True)
class Want:
    """The process takes a packet back."""

    index: int


@dataclass(frozen=True)
class Take:
    """The process empties the ring buffer."""


Step = Packet | Drain | Want | Take


@dataclass(frozen=True, kw_only=True)
class Case:
    """A session and a script."""

    name: str
    setup: Setup = field(default_factory=Setup)
    steps: tuple[Step, ...]


def payload_of(index: int, length: int) -> bytes:
    """What a packet carries: another pattern for every index, also one window later."""
    return bytes((index * 31 + index // 64 * 7 + i * 5 + 1) & 0xFF for i in range(length))


def placed(index: int, flags: Flag = NO, *, reply: Ack | None = None, length: int = PAYLOAD_BYTES) -> Packet:
    """A packet that is placed."""
    return _counted(index, flags, {"placed": 1}, reply, length)


def duplicate(index: int, flags: Flag = NO, *, reply: Ack | None = None) -> Packet:
    """A packet that is there already."""
    useless = {"useless": 1} if flags & AGAIN else {}
    return _counted(index, flags, {"duplicates": 1, **useless}, reply)


def outside(index: int, flags: Flag = NO, *, reply: Ack | None = None) -> Packet:
    """A packet beyond the window."""
    return _counted(index, flags, {"out_of_window": 1}, reply)


def refused(index: int, flags: Flag = NO, *, reply: Ack | Full | None = None) -> Packet:
    """A packet that finds the ring buffer full."""
    return _counted(index, flags, {"ring_full": 1}, reply)


def _counted(
    index: int, flags: Flag, counted: dict[str, int], reply: Ack | Full | None, length: int = PAYLOAD_BYTES
) -> Packet:
    told = {Ack: {"acks": 1}, Full: {"full_nacks": 1}, type(None): {}}[type(reply)]
    return Packet(
        index=index,
        length=length,
        flags=flags,
        verdict="drop" if reply is None else "tx",
        reply=reply,
        counted=counted | told,
    )


def malformed(**more: int) -> Packet:
    """A packet that contradicts itself."""
    return Packet(index=0, counted={"malformed": 1}, **more)  # type: ignore[arg-type]


class End(Protocol):
    """One of the twins with a session open."""

    @property
    def number(self) -> int:
        """The session's."""

    def receive(self, packet: bytes) -> tuple[Verdict, bytes | None]:
        """The verdict, and the reply without its frame."""

    def drain(self, to: int) -> None:
        """The process lets go of every packet below."""

    def want(self, index: int) -> None:
        """The process takes a packet back."""

    def take(self) -> None:
        """Empty the ring buffer."""

    def counters(self) -> dict[str, int]:
        """What was counted so far, by the names of state.h; `strangers` and `not_ours` too."""

    def memory(self) -> bytes:
        """All slots, or all records that stand in the ring."""

    def payload(self, index: int, length: int) -> bytes:
        """What stands at the beginning of the slot of an index; or the last record's, whose index and length it is."""


def play(case: Case, end: End) -> None:
    """Run a script; AssertionError names the step that went another way."""
    for number, step in enumerate(case.steps):
        match step:
            case Drain(to):
                end.drain(to)
            case Want(index):
                end.want(index)
            case Take():
                end.take()
            case Packet():
                where = f"{case.name}: step {number}, {step}"
                _play_packet(step, end, where)


def _play_packet(step: Packet, end: End, where: str) -> None:
    packet = step.bytes_for(end.number)
    before, memory = end.counters(), end.memory()
    verdict, reply = end.receive(packet)
    after = end.counters()
    assert verdict == step.verdict, where
    moved = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    assert moved == step.counted, where
    assert _told(reply) == _expected(step, end.number), where
    if "placed" in step.counted:
        carried = packet[HEADER_BYTES : HEADER_BYTES + step.length]
        assert end.payload(step.index, step.length) == carried[: step.committed], where
    else:
        assert end.memory() == memory, where


def _told(reply: bytes | None) -> Message | None:
    return None if reply is None else decode_untrusted(reply)


def _expected(step: Packet, session: int) -> Message | None:
    match step.reply:
        case None:
            return None
        case Full(index):
            return Message(
                kind=Kind.NACK,
                flags=Flag.FULL,
                session=session,
                index=index,
                timestamp=step.timestamp,
                tail=index.to_bytes(4) + (1).to_bytes(4),
            )
        case Ack() as ack:
            return Message(
                kind=Kind.ACK,
                session=session,
                index=ack.base % WRAP,
                timestamp=step.timestamp,
                fields={
                    "limit": ack.limit % WRAP,
                    "highest": ack.highest % WRAP,
                    "first": ack.first or ack.base % WRAP // 64,
                    "useless": ack.useless,
                },
                tail=b"".join(word.to_bytes(8) for word in ack.words),
            )
