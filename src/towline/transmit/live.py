# SPDX-License-Identifier: GPL-2.0-only
"""Transmit `live`: frames leave from an XDP program run on live frames, payload straight from mapped memory."""

from __future__ import annotations

import mmap
import secrets
import struct
from pathlib import Path
from time import monotonic_ns
from typing import Any

import numpy as np
from numpy.typing import NDArray

import towline.bpf
from towline.errors import UnsupportedError
from towline.framing import Level
from towline.kernel.link import Interface, xdp_features
from towline.kernel.live import LiveFrames
from towline.kernel.memory import Map, Ring
from towline.kernel.program import Object, attach, compile_program
from towline.protocol.opening import Accepted
from towline.protocol.sender import Schedule
from towline.settings import Settings
from towline.slots import Slots, memory_bytes
from towline.transmit.acknowledgements import Heard, RingAcknowledgements, SharedAcknowledgements
from towline.wire import DATA_LEAST_BYTES, DELIVERIES, HEADER_BYTES, INDEX_MASK

SOURCE = Path(towline.bpf.__path__[0]) / "sender.bpf.c"
BURST_MOST = 2048  # packets a call: 4096 were 5 % faster, and a lane is deaf meanwhile
_MARK = struct.Struct("=QII")  # struct mark of state.h
_LIVE_BATCH = 64
_RECORD_BYTES = 32  # a struct acknowledgement of 16 behind the ring's header of 8, rounded up to a power of two


def now_us() -> int:
    """Microseconds of the clock that XDP stamps packets with (CLOCK_MONOTONIC)."""
    return monotonic_ns() // 1000


def require_live_frames(interface: Interface) -> None:
    """Raises UnsupportedError where the driver says that it cannot send redirected frames: they vanish silently."""
    features = xdp_features(interface.index)
    if features is not None and "ndo-xmit" not in features:
        raise UnsupportedError(
            f"sending live frames through {interface.name}",
            "a driver with ndo_xdp_xmit (its peer, if it is a veth, with GRO on or a native XDP program)",
        )


def prepare(settings: Settings) -> None:
    """Compile now, so that no receiver waits for it, and so that a missing compiler is known before anything starts."""
    compile_program(SOURCE, flags=settings.clang_flags_sender)


class LiveTransmitter:
    """The sender's XDP program on one interface, with one `LiveLane` per session."""

    def __init__(
        self,
        interface: Interface,
        level: Level,
        accepted: list[Accepted],
        frames: tuple[bytes, bytes],
        settings: Settings,
    ) -> None:
        """`frames`: what stands before the header in packets to the peer, and in those that come back."""
        terms = accepted[0].terms
        self._object = Object(compile_program(SOURCE, flags=settings.clang_flags_sender))
        self._secret = secrets.randbits(64)
        sources_bytes = memory_bytes(terms.window, terms.payload_size)
        self._object.set_constants(sources_bytes=sources_bytes, live_secret=self._secret)
        for name in ("senders", "schedules"):
            self._object.resize(name, entries=len(accepted))
        self._object.resize("sources", entries=len(accepted), value_size=sources_bytes)
        with Map.create_ring("towline_acks", settings.ring_size) as template:
            self._object.inner("acknowledgements", template.fd)
            self._object.load()
        self._rings: list[Map] = []
        self._prepare(accepted, level, interface, frames, settings)
        self.link = attach(self._object.program("sender"), interface.index)
        self.lanes = [self._lane(number, one, level, interface) for number, one in enumerate(accepted)]

    def close(self) -> None:
        """Detach; everything goes."""
        self.link.close()
        for ring in self._rings:
            ring.close()
        self._object.close()

    def _prepare(
        self,
        accepted: list[Accepted],
        level: Level,
        interface: Interface,
        frames: tuple[bytes, bytes],
        settings: Settings,
    ) -> None:
        states = self._object.memory("senders")
        for number, one in enumerate(accepted):
            state = states[number]
            for name, frame in zip(("frame", "reply"), frames, strict=True):
                state[name][: len(frame)] = bytearray(frame)
            state["level"] = level.number
            state["payload_size"] = one.terms.payload_size
            state["window"] = one.terms.window
            state["delivery"] = DELIVERIES.index(one.terms.delivery)
            state["ifindex"] = interface.index
            for name in ("sent_end", "base", "highest"):
                state[name] = one.first_index
            state["limit"] = one.first_index + one.terms.window & INDEX_MASK
            state["session"] = one.session
            key, value = one.session.to_bytes(8, "little"), number.to_bytes(4, "little")
            self._object.map("lane_of_session").set(key, value)
            if one.terms.delivery == "ring":
                size = min(settings.ring_size, _acknowledgements_bytes(one.terms.window))
                self._rings.append(Map.create_ring("towline_acks", size))
                self._object.map("acknowledgements").insert(number, self._rings[-1].fd)

    def _lane(self, number: int, accepted: Accepted, level: Level, interface: Interface) -> LiveLane:
        state = self._object.memory("senders")[number]
        terms, first = accepted.terms, accepted.first_index
        acknowledgements: SharedAcknowledgements
        if terms.delivery == "ring":
            ring = Ring(self._rings[number], self._object.dtype("acknowledgement"))
            acknowledgements = RingAcknowledgements(state, terms.window, first, ring)
        else:
            acknowledgements = SharedAcknowledgements(state, terms.window, first)
        memory = self._object.map("sources").bytes().reshape(len(self._object.memory("senders")), -1)
        frame_bytes = level.frame_bytes + HEADER_BYTES + max(terms.payload_size, DATA_LEAST_BYTES)
        return LiveLane(
            state=state,
            entries=self._object.memory("schedules")[number]["entries"],
            slots=Slots(memory[number], window=terms.window, payload_size=terms.payload_size),
            acknowledgements=acknowledgements,
            frames=LiveFrames(
                self._object.program("sender"),
                interface.index,
                _MARK.pack(self._secret, number, 0),
                frame_bytes,
                _LIVE_BATCH,
            ),
        )


def _acknowledgements_bytes(window: int) -> int:
    """A ring that holds a window of records twice, and no more: one that stays in the cache is written faster."""
    return max(2 * window * _RECORD_BYTES, mmap.PAGESIZE)


class LiveLane:
    """One lane's memory, and its bursts. `lengths` (uint16, by slot): bytes of each packet, the filler's to write."""

    def __init__(
        self,
        *,
        state: Any,
        entries: NDArray[Any],
        slots: Slots,
        acknowledgements: SharedAcknowledgements,
        frames: LiveFrames,
    ) -> None:
        self.slots = slots
        self.lengths = np.zeros(slots.window, np.uint16)
        self._state = state
        self._entries = entries
        self._acknowledgements = acknowledgements
        self._frames = frames

    def hear(self, now: int) -> Heard:
        """What the receiver has said."""
        return self._acknowledgements.hear(now)

    def send(self, schedule: Schedule, sent_end: int) -> tuple[int, int, int]:
        """Send a burst; `sent_end`: the highest index it holds, exclusive, or an earlier burst held.

        Returns how many entries have left, when the first and when the last did (microseconds). A signal may end a
        burst early.
        """
        count = len(schedule)
        entries = self._entries[:count]
        entries["index"] = schedule.indices & INDEX_MASK
        entries["length"] = self.lengths[schedule.indices & self.slots.window - 1]
        entries["flags"] = schedule.flags
        self._state["sent_end"] = sent_end & INDEX_MASK
        self._state["next"] = 0
        started = now_us()
        while (done := int(self._state["next"])) < count and not self._frames.run(count - done):
            pass
        return int(self._state["next"]), started, now_us()

    def counters(self) -> dict[str, int]:
        """What XDP counted on this lane (names as in state.h)."""
        names = ("sent", "acks", "nacks", "full_nacks", "ring_full", "impossible", "corrupt", "malformed", "contended")
        return {name: int(self._state[name]) for name in names}

    def rtt_histogram(self) -> NDArray[np.uint32]:
        """Round-trip samples by bucket of `rtt_bucket` (acknowledged.h)."""
        histogram: NDArray[np.uint32] = self._state["rtt_histogram"].copy()
        return histogram


def rtt_percentile_us(histograms: NDArray[np.uint32], percent: float) -> int | None:
    """A percentile of the samples in summed histograms, as the middle of its bucket; None without samples."""
    total = histograms.sum()
    if not total:
        return None
    bucket = int(np.searchsorted(np.cumsum(histograms), total * percent / 100))
    if bucket < 8:
        return bucket
    octave, step = bucket // 8 + 2, bucket % 8
    return ((8 + step) << (octave - 3)) + (1 << max(octave - 4, 0)) // 2
