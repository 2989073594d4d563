# SPDX-License-Identifier: GPL-2.0-only
"""The sender's XDP program on one interface: it hears the acknowledgements, and sends where live frames can be had."""

from __future__ import annotations

import mmap
import secrets
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from towline.bpf import FOLDER
from towline.framing import Ends, Level, Numbers, write_frame
from towline.kernel.attach import Link, attach
from towline.kernel.clang import compile_program
from towline.kernel.identity import Identity
from towline.kernel.link import Interface
from towline.kernel.live import LiveFrames
from towline.kernel.memory import Map, Ring
from towline.kernel.program import Object
from towline.kernel.stuck import release_stuck
from towline.protocol.opening import Accepted
from towline.settings import Settings
from towline.slots import Slots, memory_bytes
from towline.transmit.acknowledgements import RingAcknowledgements, SharedAcknowledgements
from towline.transmit.lane import Bursts, TransmitLane
from towline.transmit.live import BATCH_FRAMES, Follower, LiveBursts, require_live_frames
from towline.wire import DATA_LEAST_BYTES, DELIVERIES, HEADER_BYTES, INDEX_MASK

SOURCE = FOLDER / "sender.bpf.c"
_MARK = struct.Struct("=QII")  # struct mark of state.h
_RECORD_BYTES = 32  # a struct acknowledgement of 16 behind the ring's header of 8, rounded up to a power of two


@dataclass(frozen=True, kw_only=True)
class Way:
    """Where a transfer's frames go: out of which interface, at which level, between whom."""

    interface: Interface
    level: Level
    ends: Ends  # of packets to the peer
    numbers: Numbers

    @property
    def port(self) -> int:
        """Our UDP port, where the level has them."""
        return self.ends.source_port


def prepare(settings: Settings) -> None:
    """Compile now, so that no receiver waits for it, and so that a missing compiler is known before anything starts."""
    compile_program(SOURCE, flags=settings.clang_flags_sender)


class XdpTransmitter:
    """One lane per session. `bursts(number, slots)` makes what sends, where it is not live frames."""

    def __init__(
        self,
        way: Way,
        accepted: list[Accepted],
        settings: Settings,
        *,
        transmit: str = "live",
        bursts: Callable[[int, Slots], Bursts] | None = None,
        otherwise: Callable[[int, Slots], Bursts] | None = None,
    ) -> None:
        """`otherwise`: what sends if live frames turn out to vanish.

        Raises UnsupportedError where live frames or the hook are not to be had, and what the kernel room raises.
        """
        if bursts is None:
            require_live_frames(way.interface)
        self.transmit = transmit
        self.notes: tuple[str, ...] = ()
        self._way = way
        self._accepted = accepted
        self._settings = settings
        self._bursts = bursts
        self._otherwise = otherwise
        self._secret = secrets.randbits(64)
        self._rings: list[Map] = []
        self._followers: list[Follower] = []
        self._object = Object(compile_program(SOURCE, flags=settings.clang_flags_sender))
        try:
            self._load()
            self._prepare()
            self.program: int | None = self._object.program("sender")
            self.identity: Identity | None = Identity.of(self._object)
            self._link = attach(self.program, way.interface.index, settings.xdp_mode or "auto")
        except BaseException:
            self._release()
            raise
        self.link: Link | None = self._link
        self.xdp_mode: str | None = self._link.mode
        if self._link.why_not_native and settings.xdp_mode is None:
            self.notes = (self._link.why_not_native,)
        self.lanes = [self._lane(number, one) for number, one in enumerate(accepted)]

    def recover(self) -> None:
        """Locks that nobody will give back."""
        release_stuck(self._object.memory("senders"))

    def close(self) -> None:
        """Detach; everything goes."""
        self._link.close()
        self._release()

    def _release(self) -> None:
        for follower in self._followers:
            follower.close()
        for ring in self._rings:
            ring.close()
        self._object.close()

    def _load(self) -> None:
        way, count, terms = self._way, len(self._accepted), self._accepted[0].terms
        sources_bytes = memory_bytes(terms.window, terms.payload_size)
        identity = Identity.made(1, SOURCE, self._settings.clang_flags_sender)
        self._object.set_constants(
            **identity.constants(self._object.constants()),
            levels=1 << way.level.number,
            ethertype=way.numbers.ethertype,
            next_header=way.numbers.next_header,
            udp_port=way.port,
            sources_bytes=sources_bytes,
            live_secret=self._secret,
            watch_gaps=self._settings.watch_gaps,
        )
        for name in ("senders", "schedules"):
            self._object.resize(name, entries=count)
        self._object.resize("sources", entries=count, value_size=sources_bytes)
        with Map.create_ring("towline_acks", self._settings.ring_size) as template:
            self._object.inner("acknowledgements", template.fd)
            self._object.load()

    def _prepare(self) -> None:
        states, way = self._object.memory("senders"), self._way
        frames = {
            "frame": write_frame(way.level, way.ends, way.numbers),
            "reply": write_frame(way.level, way.ends.turned(), way.numbers),
        }
        for number, one in enumerate(self._accepted):
            state = states[number]
            for name, frame in frames.items():
                state[name][: len(frame)] = bytearray(frame)
            state["level"] = way.level.number
            state["payload_size"] = one.terms.payload_size
            state["window"] = one.terms.window
            state["copies"] = self._settings.redundancy
            state["delivery"] = DELIVERIES.index(one.terms.delivery)
            state["ifindex"] = way.interface.index
            for name in ("first", "sent_end", "base", "highest"):
                state[name] = one.first_index
            state["limit"] = one.first_index + one.terms.window & INDEX_MASK
            state["session"] = one.session
            key, value = one.session.to_bytes(8, "little"), number.to_bytes(4, "little")
            self._object.map("lane_of_session").set(key, value)
            if one.terms.delivery == "ring":
                size = min(self._settings.ring_size, _acknowledgements_bytes(one.terms.window))
                self._rings.append(Map.create_ring("towline_acks", size))
                self._object.map("acknowledgements").insert(number, self._rings[-1].fd)

    def _lane(self, number: int, accepted: Accepted) -> TransmitLane:
        state = self._object.memory("senders")[number]
        terms, first = accepted.terms, accepted.first_index
        memory = self._object.map("sources").bytes().reshape(len(self._accepted), -1)
        slots = Slots(memory[number], window=terms.window, payload_size=terms.payload_size)
        hearing = SharedAcknowledgements(state, terms.window, first)
        if terms.delivery == "ring":
            ring = Ring(self._rings[number], self._object.dtype("acknowledgement"))
            hearing = RingAcknowledgements(state, terms.window, first, ring)
        bursts = self._bursts(number, slots) if self._bursts else self._live(number, terms.payload_size)
        otherwise = partial(self._otherwise, number, slots) if self._otherwise else None
        return TransmitLane(slots=slots, hearing=hearing, bursts=bursts, otherwise=otherwise)

    def _live(self, number: int, payload_size: int) -> LiveBursts:
        frames = LiveFrames(
            self._object.program("sender"),
            self._way.interface.index,
            _MARK.pack(self._secret, number, 0),
            self._way.level.frame_bytes + HEADER_BYTES + max(payload_size, DATA_LEAST_BYTES),
            BATCH_FRAMES,
        )
        follower = Follower(frames, self._link)
        self._followers.append(follower)
        return LiveBursts(
            state=self._object.memory("senders")[number],
            entries=self._object.memory("schedules")[number]["entries"],
            frames=frames,
            follower=follower,
        )


def _acknowledgements_bytes(window: int) -> int:
    """A ring that holds a window of records twice, and no more: one that stays in the cache is written faster."""
    return max(2 * window * _RECORD_BYTES, mmap.PAGESIZE)
