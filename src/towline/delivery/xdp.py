# SPDX-License-Identifier: GPL-2.0-only
"""The receiver's XDP program on one interface, and the sessions that it serves."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import nullcontext, suppress

import numpy as np

from towline.bpf import INCLUDE, policy_source
from towline.delivery import Delivery, Origin
from towline.delivery.direct import DirectDelivery
from towline.delivery.pins import Pins
from towline.delivery.ring import RingDelivery
from towline.delivery.session import new_session
from towline.delivery.takeover import TakeOver
from towline.errors import MalformedError, UnsupportedError
from towline.framing import Level, Numbers, write_frame
from towline.kernel.attach import Link, attach
from towline.kernel.clang import compile_program
from towline.kernel.identity import Identity
from towline.kernel.libbpf import MapKind
from towline.kernel.link import Interface, xdp_features
from towline.kernel.memory import Map
from towline.kernel.objects import open_map
from towline.kernel.program import Object
from towline.kernel.stuck import release_stuck
from towline.protocol.opening import Terms
from towline.settings import Settings
from towline.slots import memory_bytes
from towline.wire import DELIVERIES, INDEX_MASK

_RECORD_HEADER_BYTES = 8  # struct record without its data


class XdpReceiver:
    """Loaded and attached; sessions are opened and closed on it. Its capacity is fixed when it is loaded."""

    def __init__(
        self,
        interface: Interface,
        levels: Sequence[Level],
        numbers: Numbers,
        port: int,
        settings: Settings,
        pins: Pins | None = None,
    ) -> None:
        """`port`: the UDP port that packets come to. `pins`: where the program is kept for a successor, or found as a
        predecessor has left it. Raises UnsupportedError where the hook is not to be had.
        """
        largest_payload = max(level.largest_payload_bytes(interface.mtu) for level in levels)
        self._interface = interface
        self._numbers = numbers
        self._settings = settings
        self._slots_bytes = memory_bytes(settings.window_most, largest_payload)
        record_bytes = -(-(_RECORD_HEADER_BYTES + largest_payload) // 8) * 8
        self._pins = pins
        constants = {
            "levels": sum(1 << level.number for level in levels),
            "ethertype": numbers.ethertype,
            "next_header": numbers.next_header,
            "udp_port": port,
            "slots_bytes": self._slots_bytes,
            "record_bytes": record_bytes,
            "spin_ns": settings.spin_ns,
            "watch_gaps": settings.watch_gaps,
        }
        left = pins.link(interface.index) if pins else None
        with TakeOver(left, interface, settings) if left else nullcontext() as before:
            self._object = (
                before.successor(policy_source(settings.policy), constants) if before else self._loaded(constants)
            )
            try:
                program, identity = self._object.program("receiver"), Identity.of(self._object)
                self._link = before.hand_over(program, identity) if before else self._attached(program)
            except BaseException:
                self._object.close()
                raise
        self._want = self._object.program("want")
        self._states = self._object.memory("receivers")
        self._record = RingDelivery.record_dtype(self._object.dtype("record"), record_bytes)
        self._record_data_bytes = record_bytes - _RECORD_HEADER_BYTES
        self._open: dict[int, tuple[int, list[Map]]] = {}  # by session: its slot, and maps of its own
        self.program: int | None = program
        self.identity: Identity | None = identity
        self.link: Link | None = self._link
        self.xdp_mode: str | None = self._link.mode
        slower = self._link.why_not_native if settings.xdp_mode is None else None
        notes = (slower, *(before.notes if before else ()))
        self.notes: tuple[str, ...] = tuple(note for note in notes if note)

    def _loaded(self, constants: dict[str, int]) -> Object:
        settings = self._settings
        source, flags = policy_source(settings.policy), settings.clang_flags_receiver
        new = Object(compile_program(source, flags=(INCLUDE, *flags)))
        new.set_constants(**constants | Identity.made(1, source, flags).constants(new.constants()))
        with (
            Map.create_array("towline_slots", self._slots_bytes) as slots,
            Map.create_ring("towline_records", settings.ring_size) as records,
        ):
            new.inner("slots", slots.fd)
            new.inner("records", records.fd)
            new.load()
        return new

    def _attached(self, program: int) -> Link:
        link = attach(program, self._interface.index, self._settings.xdp_mode or "auto")
        if self._pins:
            self._pins.keep_link(link.fd)
        return link

    def open(self, terms: Terms, origin: Origin, first_index: int, rtt_us: int) -> tuple[int, Delivery]:
        """A session with its memory, from here on served by XDP.

        Raises UnsupportedError where all of the interface's sessions are taken, and for a sender that would not hear.
        """
        if not self.is_heard_by(origin):
            raise UnsupportedError(
                "acknowledging from XDP to a sender that listens at a socket",
                "GRO on at the sender's end of the veth, or `towline receive --datapath socket`",
            )
        slot = next((n for n in range(len(self._states)) if not self._states[n]["session"]), None)
        if slot is None:
            raise UnsupportedError("one more session", f"one of {len(self._states)} on this interface to end")
        session = new_session(slot)
        state = self._states[slot : slot + 1]
        state.view("u1")[:] = 0
        for name, ends in (("frame", origin.ends), ("reply", origin.ends.turned())):
            frame = write_frame(origin.level, ends, self._numbers)
            state[name][0, : len(frame)] = bytearray(frame)
        state["level"] = origin.level.number
        state["payload_size"] = terms.payload_size
        state["ack_every"] = terms.ack_every
        state["window"] = terms.window
        state["rtt_us"] = rtt_us
        state["delivery"] = DELIVERIES.index(terms.delivery)
        # XDP_TX would ring no veth whose other end has no program of its own, as a bridge's port has none.
        if self._interface.kind == "veth" and self.xdp_mode == "native":
            state["bounce_ifindex"] = self._interface.index
        state["short_every"] = self._settings.short_records
        for name in ("drained", "cursor", "highest", "ready"):
            state[name] = first_index & INDEX_MASK
        state["advertised"] = first_index + terms.window & INDEX_MASK
        delivery, maps = self._delivery(slot, terms, first_index)
        self._open[session] = (slot, maps)
        state["session"] = session  # the last word: from here on XDP takes its packets
        return session, delivery

    def is_heard_by(self, origin: Origin) -> bool:
        """Whether what XDP turns around reaches a sender.

        A veth's other end without a program takes it with GRO on only: its "ndo-xmit" here says so.
        """
        if not origin.by_socket or self._interface.kind != "veth" or self.xdp_mode != "native":
            return True
        features = xdp_features(self._interface.index)
        return features is None or "ndo-xmit" in features

    def close_session(self, session: int) -> None:
        """XDP leaves the session's packets to a socket from here on; its memory goes."""
        slot, maps = self._open.pop(session)
        self._free(slot)
        for one in maps:
            one.close()

    def recover(self) -> None:
        """Locks that nobody will give back, and counts on which the next ACK depends."""
        release_stuck(self._states)
        for slot, _ in self._open.values():
            self._states[slot]["pending"] = self._states[slot]["told_full"] = 0

    def close(self) -> None:
        """Detach; everything goes, pinned or not."""
        for session in list(self._open):
            self.close_session(session)
        self._link.close()
        if self._pins:
            self._pins.remove_all()
        self._object.close()

    def leave(self) -> None:
        """As if this process had been killed: what is pinned goes on, and another process may take over."""
        os.close(self._link.fd)
        self._object.close()

    def resume(self, session: int, terms: Terms, drained: int) -> Delivery:
        """A session that a predecessor has opened, from `drained` on. Raises MalformedError where it is not as said."""
        slot = session & 0xFFFF
        state = self._states[slot] if slot < len(self._states) and session not in self._open else None
        said = (session, terms.payload_size, terms.window, terms.ack_every, DELIVERIES.index(terms.delivery))
        names = ("session", "payload_size", "window", "ack_every", "delivery")
        if state is None or tuple(int(state[name]) for name in names) != said:
            raise MalformedError("pinned facts of a session that is not there, or is another one")
        if (
            memory_bytes(terms.window, terms.payload_size) > self._slots_bytes
            or terms.payload_size > self._record_data_bytes
            or int(state["highest"]) - drained & INDEX_MASK > terms.window
            # What is ready is told with an acknowledgement, so that what is drained (on `ring`) may be ahead of it.
            or int(state["ready"]) - drained + terms.window & INDEX_MASK > 2 * terms.window
        ):
            raise MalformedError("pinned facts of a session that is as none can be")
        maps = self._inner("slots", slot), self._inner("records", slot) if terms.delivery == "ring" else None
        self._open[session] = (slot, [one for one in maps if one])
        payload, records = maps
        if payload is None or payload.kind != MapKind.ARRAY or payload.value_size != self._slots_bytes:
            raise MalformedError("a pinned session without its memory")
        if terms.delivery == "ring" and (records is None or records.kind != MapKind.RINGBUF):
            raise MalformedError("a pinned session without its ring")
        state["drained"] = drained & INDEX_MASK
        return self._made(slot, terms, drained, payload, records, resumed=True)

    def has(self, session: int) -> bool:
        """Whether a session is open here."""
        return session in self._open

    def forget_others(self) -> None:
        """Sessions that a predecessor has opened, and nobody has resumed, are strangers' from here on."""
        for slot in range(len(self._states)):
            number = int(self._states[slot]["session"])
            if number and number not in self._open:
                self._free(slot)

    def _free(self, slot: int) -> None:
        self._states[slot]["session"] = 0
        for name in ("slots", "records"):
            with suppress(FileNotFoundError):
                self._object.map(name).delete(slot.to_bytes(4, "little"))

    def _inner(self, name: str, slot: int) -> Map | None:
        number = self._object.map(name).get(slot.to_bytes(4, "little"))
        return open_map(int.from_bytes(number, "little")) if number else None

    def _delivery(self, slot: int, terms: Terms, first_index: int) -> tuple[Delivery, list[Map]]:
        """A new session's maps. A ring's slots need to be one only where a successor may want to see them."""
        payload = records = None
        if terms.delivery == "ring":
            records = Map.create_ring("towline_records", self._settings.ring_size)
            self._object.map("records").insert(slot, records.fd)
        if records is None or self._pins:
            payload = Map.create_array("towline_slots", self._slots_bytes)
            self._object.map("slots").insert(slot, payload.fd)
        maps = [one for one in (payload, records) if one]
        return self._made(slot, terms, first_index, payload, records, resumed=False), maps

    def _made(
        self, slot: int, terms: Terms, first_index: int, payload: Map | None, records: Map | None, *, resumed: bool
    ) -> Delivery:
        shared = (self._states[slot], slot, self._want, terms, first_index)
        if records is None:
            assert payload is not None
            return DirectDelivery(*shared, payload.bytes(), resumed=resumed)
        memory = payload.bytes() if payload else np.zeros(terms.window * terms.payload_size, np.uint8)
        delay_us = self._settings.consumer_delay_us
        return RingDelivery(*shared, memory, records, self._record, delay_us, resumed=resumed)
