# SPDX-License-Identifier: GPL-2.0-only
"""A clock that jumps to the next event, and a path with seeded loss, duplication, reordering, corruption, darkness."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from random import Random

from towline.errors import MalformedError
from towline.wire import HEADER_BYTES, Kind, decode_untrusted


@dataclass(frozen=True, kw_only=True)
class Impairment:
    """What one direction does to packets; probabilities, and times in microseconds."""

    loss: float = 0.0
    duplication: float = 0.0
    reordering: float = 0.0
    reordering_us: int = 300  # a reordered packet comes up to that much later
    corruption: float = 0.0
    heavy: bool = False  # corruption by many scattered flips, which a 16-bit sum does not always catch
    delay_us: int = 50
    jitter_us: int = 0  # each packet takes up to that much longer, and overtakes
    packet_us: float = 1  # between two packets on the wire
    rate_bps: float | None = None  # of frame bytes; then packet_us is not looked at
    queue_bytes: int = 1 << 40  # of frames that wait for the rate; what finds it full is lost
    dark: tuple[tuple[int, int], ...] = ()  # from, to (exclusive): everything is lost; since the start
    censor: Callable[[bytes], bool] | None = None  # True: this packet is lost


CLEAN = Impairment()
FRAME_BYTES = 14  # what a packet is on the wire besides itself


class Clock:
    """Simulated time and what is to happen when."""

    def __init__(self, start_us: int) -> None:
        self.start_us = self.now = start_us
        self.events = 0
        self._order = count()
        self._queue: list[tuple[int, int, Callable[[], None]]] = []

    def at(self, when_us: int, what: Callable[[], None]) -> None:
        """Do something then, or now if that is past."""
        heapq.heappush(self._queue, (max(when_us, self.now), next(self._order), what))

    def advance(self) -> bool:
        """Jump to the next event and let it happen; False: there is none."""
        if not self._queue:
            return False
        self.now, _, what = heapq.heappop(self._queue)
        self.events += 1
        what()
        return True


class Path:
    """One direction; `deliver` takes what arrives."""

    deliver: Callable[[bytes], None]

    def __init__(self, clock: Clock, rng: Random, impairment: Impairment) -> None:
        self.impairment = impairment
        self.sent = self.lost = self.overflowed = self.corrupted = 0
        self.forged = 0  # corrupted, and the check did not notice
        self._clock = clock
        self._rng = rng
        self._free_us = float(clock.now)

    def send(self, packet: bytes) -> None:
        """Put a packet on the wire."""
        wire, rng, now = self.impairment, self._rng, self._clock.now
        self.sent += 1
        if not self._enters(len(packet) + FRAME_BYTES):
            self.overflowed += 1
            return
        since = now - self._clock.start_us
        lost = rng.random() < wire.loss or any(low <= since < high for low, high in wire.dark)
        if lost or (wire.censor is not None and wire.censor(packet)):
            self.lost += 1
            return
        for _ in range(1 + (rng.random() < wire.duplication)):
            late = rng.randrange(wire.reordering_us) if rng.random() < wire.reordering else 0
            late += rng.randrange(wire.jitter_us) if wire.jitter_us else 0
            arriving = self._damage(packet) if rng.random() < wire.corruption else packet
            self._clock.at(int(self._free_us) + wire.delay_us + late, lambda p=arriving: self.deliver(p))  # type: ignore[misc]

    def _enters(self, frame_bytes: int) -> bool:
        """Whether a frame finds room in the queue; then it takes the wire for its time."""
        wire, now = self.impairment, self._clock.now
        if wire.rate_bps is None:
            self._free_us = max(self._free_us, now) + wire.packet_us
            return True
        byte_us = 8e6 / wire.rate_bps
        if self._free_us - now > wire.queue_bytes * byte_us:
            return False
        self._free_us = max(self._free_us, now) + frame_bytes * byte_us
        return True

    def _damage(self, packet: bytes) -> bytes:
        self.corrupted += 1
        damaged = _flip_many(packet, self._rng) if self.impairment.heavy else _flip_few(packet, self._rng)
        self.forged += _passes(damaged, packet)
        return damaged


def _flip_few(packet: bytes, rng: Random) -> bytes:
    """One bit, a run of at most 15 bits (both always found by the sum), or the end cut off."""
    damaged = bytearray(packet)
    match rng.randrange(4):
        case 0:
            return packet[: rng.randrange(len(packet))]
        case 1:
            run = rng.getrandbits(15) | 1
            at = rng.randrange(8 * len(packet) - 15)
            number = int.from_bytes(packet) ^ run << at
            return number.to_bytes(len(packet))
        case _:
            damaged[rng.randrange(len(packet))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def _flip_many(packet: bytes, rng: Random) -> bytes:
    damaged = bytearray(packet)
    for _ in range(rng.randint(2, 8)):
        damaged[rng.randrange(len(packet))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def _passes(damaged: bytes, packet: bytes) -> bool:
    """Whether a damaged packet says something else than it did, and is believed (unchecked payload aside)."""
    try:
        message = decode_untrusted(damaged)
    except MalformedError:
        return False
    told = HEADER_BYTES if message.kind == Kind.DATA else len(packet)
    return damaged[:told] != packet[:told]
