# SPDX-License-Identifier: GPL-2.0-only
"""The receiving end of tests/pair.py: door, rules and stream as they are, around the twin of receiver.h."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tests import twins
from towline.errors import MalformedError, SettingsError, TowlineError
from towline.protocol.opening import Door, Terms, accept, agree, reject
from towline.protocol.window import Indices, unwrap
from towline.slots import Slots
from towline.transfer.incoming import Incoming, Stage
from towline.wire import Kind, Message, decode_untrusted, encode

if TYPE_CHECKING:
    from tests.fake_path import Clock
    from tests.pair import Plan

ADDRESS = b"sender"


class MemorySink:
    """A file in memory that appears when it is whole."""

    path: Path | None = None

    def __init__(self) -> None:
        self.content: bytes | None = None
        self._written: list[tuple[int, bytes]] = []

    def open(self, name: str, mode: int, mtime_ns: int) -> None:
        assert name == "file"

    def write(self, views: list[NDArray[np.uint8]], offset: int) -> None:
        self._written.append((offset, b"".join(view.tobytes() for view in views)))

    def finish(self, size_bytes: int) -> None:
        content = bytearray(size_bytes)
        for offset, piece in self._written:
            content[offset : offset + len(piece)] = piece
        self.content = bytes(content)

    def discard(self) -> None:
        self._written.clear()


class TwinDelivery:
    """Both deliveries in the shape of towline.delivery.Delivery, plain, around the twin; and a witness.

    The witness believes no bookkeeping: it remembers which packets were really stored, and reads every ACK.
    """

    def __init__(self, plan: Plan, session: int, terms: Terms, make_twin: Callable[..., twins.Placement]) -> None:
        first = plan.first_index
        memory = np.zeros(terms.window * terms.payload_size, np.uint8)
        self.slots = Slots(memory, window=terms.window, payload_size=terms.payload_size)
        self.twin = make_twin(
            session=session,
            window=terms.window,
            payload_size=terms.payload_size,
            ack_every=terms.ack_every,
            ring=terms.delivery == "ring",
            store=self._store,
            first_index=first,
            short_every=plan.short_every,
        )
        self.stored: set[int] = set()
        self._witnessed_to = first
        self._plan = plan
        self._rows = self.slots.rows()
        self._records: list[tuple[int, bytes, int]] = []
        self._window = terms.window
        self._first = self._drained = self._front = first
        self._arrived: set[int] = set()
        self._useless: set[int] = set()  # on ring: came short or was taken back

    def _store(self, slot: int, index: int, payload: bytes, length: int) -> bool:
        if self.twin.ring:
            if len(self._records) >= self._plan.ring_records:
                return False
            self._records.append((index, payload, length))
        else:
            self._put(slot, payload)
        self.stored.add(unwrap(index, self._drained))
        return True

    def _put(self, slot: int, payload: bytes) -> None:
        self._rows[slot, : len(payload)] = np.frombuffer(payload, np.uint8)

    def collect(self) -> bool:
        for raw, payload, length in self._records:
            index = unwrap(raw, self._drained)
            self._put(index % self._window, payload)
            self._arrived.add(index)
            self._useless.discard(index)
            if len(payload) < length:
                self.take_back(np.array([index]))
        self._records.clear()
        while self._front in self._arrived:
            self._arrived.discard(self._front)
            self._front += 1
        return False

    @property
    def ready(self) -> int:
        return self._front if self.twin.ring else unwrap(self.twin.ready, self._drained)

    @property
    def highest(self) -> int:
        return unwrap(self.twin.highest, self._drained)

    @property
    def advertised(self) -> int:
        return unwrap(self.twin.advertised, self._drained)

    def wanted(self) -> Indices:
        if self.twin.ring:
            return np.array(sorted(self._useless), np.int64)
        low = self._drained
        return np.array(
            sorted(low + (bit - low) % twins.WINDOW_MOST for bit in self.twin.wanted),
            np.int64,
        )

    def take_back(self, indices: Indices) -> None:
        if self.twin.ring:
            self._useless.update(indices.tolist())
        self.twin.want(indices.tolist())

    def drained(self, index: int) -> None:
        assert index >= self._drained
        self._drained = index
        self.twin.drained = index & 0xFFFFFFFF

    def counters(self) -> dict[str, int]:
        return dict(self.twin.counters, contended=0)

    def witness(self, reply: Message) -> None:
        """Every packet that an ACK says is placed has been stored."""
        base = unwrap(reply.index, self._drained)
        shown = range(self._witnessed_to, base)
        self._witnessed_to = max(base, self._witnessed_to)
        words = np.frombuffer(reply.tail, ">u8").astype(np.uint64)
        first = unwrap(reply.fields["first"] * 64, base)
        bits = np.flatnonzero(np.unpackbits(words.view(np.uint8), bitorder="little")) + first
        for index in [*shown, *bits[bits >= base].tolist()]:
            assert index in self.stored, f"packet {index} was acknowledged and is not placed"


class ReceiverEnd:
    """The receiving process and its XDP program."""

    def __init__(self, plan: Plan, clock: Clock, rng: Random, send: Callable[[bytes], None]) -> None:
        self.result: TowlineError | str | None = None
        self.sink = plan.make_sink()
        self.deliveries: dict[int, TwinDelivery] = {}
        self.incoming: Incoming | None = None
        self._plan = plan
        self._clock = clock
        self._rng = rng
        self._send = send
        self._door = Door()
        self._inbox: list[bytes] = []
        self._wake_us: int | None = None

    def arrive(self, packet: bytes) -> None:
        """A packet at the interface: XDP first."""
        for delivery in self.deliveries.values() if self.result is None else ():
            verdict, reply = delivery.twin.receive(packet)
            if verdict != "pass":
                if reply is not None:
                    self._bounce(delivery, reply)
                break
        else:
            self._inbox.append(packet)
        self.wake_at(self._clock.now + self._plan.receiver_poll_us)

    def _bounce(self, delivery: TwinDelivery, reply: bytes) -> None:
        message = decode_untrusted(reply)
        if message.kind == Kind.ACK and self._plan.witness:
            delivery.witness(message)
        self._send(reply)

    def _reply(self, message: Message) -> None:
        if message.kind == Kind.ACK and self._plan.witness:
            self.deliveries[message.session].witness(decode_untrusted(encode(message)))
        self._send(encode(message))

    def wake_at(self, when_us: int) -> None:
        """Have the process run then, unless it does earlier."""
        if self._wake_us is None or when_us < self._wake_us:
            self._wake_us = when_us
            self._clock.at(when_us, lambda: self._woken(when_us))

    def _woken(self, when_us: int) -> None:
        if self._wake_us != when_us:
            return
        self._wake_us = None
        low, high = self._plan.stopped
        if low <= self._clock.now - self._clock.start_us < high:
            self.wake_at(self._clock.start_us + high)
            return
        inbox, self._inbox = self._inbox, []
        if self.result is not None:
            return
        try:
            for packet in inbox:
                self._heed(packet)
            if self.incoming is not None:
                self._step(self.incoming)
        except TowlineError as error:
            self.result = error
            if self.incoming is not None:
                self.incoming.fail(str(error))
        if self.result is None:
            wanted = any(len(delivery.wanted()) for delivery in self.deliveries.values())
            self.wake_at(self._clock.now + (5_000 if wanted else 500_000))

    def _step(self, incoming: Incoming) -> None:
        incoming.step(self._clock.now)
        if incoming.stage is Stage.OVER:
            self.result = "done"

    def _heed(self, packet: bytes) -> None:
        try:
            message = decode_untrusted(packet)
        except MalformedError:
            return
        if message.kind == Kind.HELLO:
            self._hello(message)
        elif self.incoming is not None and message.session in self.deliveries:
            self.incoming.heed(message, self._clock.now)

    def _hello(self, hello: Message) -> None:
        now, plan = self._clock.now, self._plan
        try:
            retry = self._door.retry(hello, ADDRESS, now)
            if retry is not None:
                self._send(encode(retry))
                return
            terms = agree(
                hello,
                largest_payload=plan.payload_size,
                window=plan.receiver_window or plan.window,
                block_bytes=plan.block_bytes,
                delivery=plan.delivery,
            )
        except MalformedError:
            return
        except SettingsError as error:
            self._send(encode(reject(hello, str(error))))
            return
        if self.incoming is None:
            options: dict[str, Any] = {"timeout_us": plan.timeout_us, "stalled_us": plan.stalled_us, "rtt_us": 0}
            self.incoming = Incoming(
                peer=None, lanes=plan.lanes, terms=terms, sink=self.sink, reply=self._reply, now=now, **options
            )
        session = self._session(self.incoming, hello.fields["lane"], terms)
        self._send(encode(accept(hello, session, plan.first_index, self.incoming.terms)))

    def _session(self, incoming: Incoming, number: int, terms: Terms) -> int:
        for session, lane in incoming.lanes.items():
            if lane.lane == number:
                return session
        session = self._rng.getrandbits(63) << 1 | 1
        delivery = TwinDelivery(self._plan, session, terms, self._plan.make_twin)
        self.deliveries[session] = delivery
        incoming.add(session, number, self._plan.first_index, delivery)
        return session
