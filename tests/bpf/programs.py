# SPDX-License-Identifier: GPL-2.0-only
"""receiver.h and sender.bpf.c, loaded as delivery/xdp.py and transmit/live.py do it, and run on single packets."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.levels import SENDER_TO_RECEIVER, ends_at, template
from towline.delivery import Delivery, Origin
from towline.delivery.ring import RingDelivery
from towline.delivery.xdp import XdpReceiver
from towline.framing import ETHERNET, Level, Numbers
from towline.kernel.link import Interface
from towline.kernel.live import run_packet, run_syscall
from towline.protocol.opening import Accepted, Terms
from towline.protocol.placement import COUNTERS
from towline.settings import Settings
from towline.transmit.xdp import Way, XdpTransmitter

DROP, PASS, TX, REDIRECT = 1, 2, 3, 4
PAYLOAD_MOST = 3370  # at level ethernet
LARGEST_SLOTS_BYTES = 1024 * PAYLOAD_MOST
TO_RECEIVER = template(ETHERNET, SENDER_TO_RECEIVER)
TO_SENDER = template(ETHERNET, SENDER_TO_RECEIVER.turned())

_WANT = struct.Struct("=IIQ")
_MARK = struct.Struct("=QII")


def origin(level: Level) -> Origin:
    """The sender, as far as XDP asks."""
    unasked: Any = SimpleNamespace(level=level)
    return Origin(by_socket=False, port=unasked, peer=None, reply_to=unasked, ends=ends_at(level, SENDER_TO_RECEIVER))


@dataclass(frozen=True, kw_only=True)
class Session:
    """One session of the receiver: `state` is its struct receiver_state."""

    number: int
    level: Level
    slot: int
    terms: Terms
    state: Any
    delivery: Delivery

    def counters(self) -> dict[str, int]:
        """What XDP has counted."""
        return {name: int(self.state[name]) for name in COUNTERS}

    def rows(self) -> NDArray[np.uint8]:
        """Delivery direct: the slots, shape (window, payload_size)."""
        return self.delivery.slots.rows()

    def waiting(self) -> list[tuple[int, int, bytes]]:
        """Delivery ring: what is in the ring, as (index, length, committed bytes)."""
        assert isinstance(self.delivery, RingDelivery)
        records, keep = self.delivery._ring.batch(1 << 20)
        assert keep is None
        return [(int(one["index"]), int(one["length"]), one["data"][: one["placed"]].tobytes()) for one in records]

    def records(self) -> list[tuple[int, int, bytes]]:
        """The same, taken out."""
        assert isinstance(self.delivery, RingDelivery)
        found = self.waiting()
        self.delivery._ring.release(len(found))
        return found


class ReceiverProgram:
    """The program of a receiving process; `open` makes sessions of all kinds on it."""

    def __init__(self, link: Interface, *levels: Level, numbers: Numbers | None = None, **settings: Any) -> None:
        """It serves the levels (none: `ethernet`); the first is that of sessions which name none."""
        levels = levels or (ETHERNET,)
        self._settings = Settings(window=1024, **settings)
        self.level = levels[0]
        port = SENDER_TO_RECEIVER.destination_port
        self.xdp = XdpReceiver(link, levels, numbers or Numbers(), port, self._settings)
        self.fd = self.xdp._object.program("receiver")
        self._sessions: list[Session] = []

    def open(
        self,
        *,
        window: int = 64,
        payload_size: int = 100,
        ack_every: int = 8,
        delivery: str = "direct",
        first_index: int = 0,
        ring_size: int = 1 << 16,
        short_records: int = 0,
        level: Level | None = None,
        rtt_us: int = 0,
    ) -> Session:
        """A session of the sender's; window * payload_size is at most LARGEST_SLOTS_BYTES."""
        assert window * payload_size <= LARGEST_SLOTS_BYTES
        terms = Terms(payload_size=payload_size, ack_every=ack_every, window=window, block_bytes=1, delivery=delivery)
        self._speak_of(delivery, ring_size, short_records)
        level = level or self.level
        number, opened = self.xdp.open(terms, origin(level), first_index, rtt_us)
        slot = number & 0xFFFF
        state = self.xdp._states[slot]
        state["bounce_ifindex"] = 0  # as on a card: the verdict on an answer is XDP_TX
        session = Session(number=number, level=level, slot=slot, terms=terms, state=state, delivery=opened)
        self._sessions.append(session)
        return session

    def run(self, frame: bytes) -> tuple[int, bytes]:
        """The verdict, and the frame as the program leaves it."""
        result = run_packet(self.fd, frame)
        return result.verdict, result.packet

    def strangers(self) -> tuple[int, int]:
        """What belonged to no session: not ours, and left to a socket."""
        seen = self.xdp._object.globals("interface_counters")
        return int(seen["not_ours"]), int(seen["strangers"])

    def want(self, session: Session, index: int) -> None:
        """Take one packet back."""
        word = index % 65536 // 64
        bits = 1 << index % 64
        assert run_syscall(self.xdp._want, _WANT.pack(session.slot, word, bits))[0] == 0

    def close_sessions(self) -> None:
        """End what the test has opened."""
        for session in self._sessions:
            self._speak_of(session.terms.delivery, 4096, 0)
            self.xdp.close_session(session.number)
        self._sessions.clear()

    def close(self) -> None:
        """Detach."""
        self.close_sessions()
        self.xdp.close()

    def _speak_of(self, delivery: str, ring_size: int, short_records: int) -> None:
        """An interface has one delivery; the tests want both of one program."""
        short_records = short_records if delivery == "ring" else 0
        self.xdp._settings = self._settings.replace(delivery=delivery, ring_size=ring_size, short_records=short_records)


@dataclass(frozen=True, kw_only=True)
class SendingLane:
    """The sender's lane as one test has it: `state` is its struct sender_state."""

    session: int
    level: Level
    terms: Terms
    state: Any
    live: Any  # the TransmitLane
    mark: bytes

    def records(self) -> list[tuple[int, int, int, int]]:
        """Delivery ring: (kind, flags, first, count) of each record; they are taken out."""
        ring = self.live._hearing._ring
        records, keep = ring.batch(1 << 20)
        assert keep is None
        names = ("kind", "flags", "first", "count")
        found = [tuple(int(one[name]) for name in names) for one in records]
        ring.release(len(records))
        return found  # type: ignore[return-value]


class SenderProgram:
    """The program of a sending process."""

    def __init__(self, link: Interface, level: Level = ETHERNET, *, numbers: Numbers | None = None) -> None:
        self._link = link
        self.level = level
        largest = min(level.largest_payload_bytes(link.mtu), PAYLOAD_MOST)
        self._terms = Terms(payload_size=largest, ack_every=1, window=2048, block_bytes=1, delivery="direct")
        first = Accepted(session=1, first_index=0, terms=self._terms)
        ends = ends_at(level, SENDER_TO_RECEIVER)
        way = Way(interface=link, level=level, ends=ends, numbers=numbers or Numbers())
        self._live = XdpTransmitter(way, [first], Settings())
        self.fd = self._live._object.program("sender")
        self._session = 1

    def lane(
        self,
        *,
        session: int = 0x0123456789ABCDEF,
        window: int = 64,
        payload_size: int = 100,
        delivery: str = "direct",
        first_index: int = 0,
        ring_size: int = 1 << 16,
    ) -> SendingLane:
        """The lane with another session on it; window * payload_size is at most LARGEST_SLOTS_BYTES."""
        assert window * payload_size <= LARGEST_SLOTS_BYTES
        live = self._live
        terms = Terms(payload_size=payload_size, ack_every=1, window=window, block_bytes=1, delivery=delivery)
        accepted = Accepted(session=session, first_index=first_index, terms=terms)
        live._object.map("lane_of_session").delete(self._session.to_bytes(8, "little"))
        live._object.memory("senders")[:1].view(np.uint8)[:] = 0
        for ring in live._rings:
            ring.close()
        live._rings.clear()
        live._accepted, live._settings = [accepted], Settings(ring_size=ring_size)
        live._prepare()
        self._session = session
        return SendingLane(
            session=session,
            level=self.level,
            terms=terms,
            state=live._object.memory("senders")[0],
            live=live._lane(0, accepted),
            mark=_MARK.pack(live._secret, 0, 0),
        )

    def run(self, frame: bytes, metadata: bytes = b"") -> tuple[int, bytes]:
        """The verdict, and the frame as the program leaves it."""
        result = run_packet(self.fd, frame, metadata=metadata)
        return result.verdict, result.packet

    def strangers(self) -> tuple[int, int]:
        """What belonged to no session: not ours, and left to a socket."""
        seen = self._live._object.globals("interface_counters")
        return int(seen["not_ours"]), int(seen["strangers"])

    def close(self) -> None:
        """Detach."""
        self._live.close()
