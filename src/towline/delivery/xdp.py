# SPDX-License-Identifier: GPL-2.0-only
"""The receiver's XDP program on one interface, and the sessions that it serves."""

from __future__ import annotations

from collections.abc import Sequence

from towline.bpf import INCLUDE, POLICIES
from towline.delivery import Delivery, Origin
from towline.delivery.direct import DirectDelivery
from towline.delivery.ring import RingDelivery
from towline.delivery.session import new_session
from towline.errors import UnsupportedError
from towline.framing import Level, Numbers, write_frame
from towline.kernel.link import Interface
from towline.kernel.memory import Map
from towline.kernel.program import Link, Object, attach, compile_program
from towline.kernel.stuck import release_stuck
from towline.protocol.opening import Terms
from towline.settings import Settings
from towline.slots import memory_bytes
from towline.wire import DELIVERIES, INDEX_MASK

SOURCES = POLICIES
_RECORD_HEADER_BYTES = 8  # struct record without its data


class XdpReceiver:
    """Loaded and attached; sessions are opened and closed on it. Its capacity is fixed when it is loaded."""

    def __init__(
        self, interface: Interface, levels: Sequence[Level], numbers: Numbers, port: int, settings: Settings
    ) -> None:
        """`port`: the UDP port that packets come to. Raises UnsupportedError where the hook is not to be had."""
        largest_payload = max(level.largest_payload_bytes(interface.mtu) for level in levels)
        self._interface = interface
        self._numbers = numbers
        self._settings = settings
        self._slots_bytes = memory_bytes(settings.window_most, largest_payload)
        record_bytes = -(-(_RECORD_HEADER_BYTES + largest_payload) // 8) * 8
        self._object = Object(
            compile_program(SOURCES / f"{settings.policy}.bpf.c", flags=(INCLUDE, *settings.clang_flags_receiver))
        )
        self._object.set_constants(
            levels=sum(1 << level.number for level in levels),
            ethertype=numbers.ethertype,
            next_header=numbers.next_header,
            udp_port=port,
            slots_bytes=self._slots_bytes,
            record_bytes=record_bytes,
            spin_ns=settings.spin_ns,
            watch_gaps=settings.watch_gaps,
        )
        with (
            Map.create_array("towline_slots", self._slots_bytes) as slots,
            Map.create_ring("towline_records", settings.ring_size) as records,
        ):
            self._object.inner("slots", slots.fd)
            self._object.inner("records", records.fd)
            self._object.load()
        self._want = self._object.program("want")
        self._states = self._object.memory("receivers")
        self._record = RingDelivery.record_dtype(self._object.dtype("record"), record_bytes)
        self._open: dict[int, tuple[int, Map]] = {}
        try:
            self.program: int | None = self._object.program("receiver")
            self._link = attach(self.program, interface.index, settings.xdp_mode or "auto")
        except BaseException:
            self._object.close()
            raise
        self.link: Link | None = self._link
        self.xdp_mode: str | None = self._link.mode
        slower = self._link.why_not_native if settings.xdp_mode is None else None
        self.notes: tuple[str, ...] = (slower,) if slower else ()

    def open(self, terms: Terms, origin: Origin, first_index: int, rtt_us: int) -> tuple[int, Delivery]:
        """A session with its memory, from here on served by XDP.

        Raises UnsupportedError where all of the interface's sessions are taken.
        """
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
        delivery, memory = self._delivery(slot, terms, first_index)
        self._open[session] = (slot, memory)
        state["session"] = session  # the last word: from here on XDP takes its packets
        return session, delivery

    def close_session(self, session: int) -> None:
        """XDP leaves the session's packets to a socket from here on; its memory goes."""
        slot, memory = self._open.pop(session)
        self._states[slot]["session"] = 0
        holder = "records" if self._settings.delivery == "ring" else "slots"
        self._object.map(holder).delete(slot.to_bytes(4, "little"))
        memory.close()

    def recover(self) -> None:
        """Locks that nobody will give back, and counts on which the next ACK depends."""
        release_stuck(self._states)
        for slot, _ in self._open.values():
            self._states[slot]["pending"] = self._states[slot]["told_full"] = 0

    def close(self) -> None:
        """Detach; everything goes."""
        for session in list(self._open):
            self.close_session(session)
        self._link.close()
        self._object.close()

    def _delivery(self, slot: int, terms: Terms, first_index: int) -> tuple[Delivery, Map]:
        state = self._states[slot]
        if terms.delivery == "ring":
            ring = Map.create_ring("towline_records", self._settings.ring_size)
            self._object.map("records").insert(slot, ring.fd)
            delay_us = self._settings.consumer_delay_us
            return (
                RingDelivery(state, slot, self._want, terms, first_index, ring, self._record, delay_us),
                ring,
            )
        slots = Map.create_array("towline_slots", self._slots_bytes)
        self._object.map("slots").insert(slot, slots.fd)
        return DirectDelivery(state, slot, self._want, terms, first_index, slots.bytes()), slots
