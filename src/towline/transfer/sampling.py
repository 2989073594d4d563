# SPDX-License-Identifier: GPL-2.0-only
"""What a transfer in progress looks like from either side: its progress, and a sample of its state every 50 ms."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from towline.delivery.ring import RingDelivery
from towline.transfer.events import OnEvent, Progress, Sample
from towline.transfer.incoming import Incoming
from towline.transfer.lane import Lane
from towline.transfer.stream import OutgoingStream
from towline.transmit.lane import now_us

SAMPLE_US = 50_000
PROGRESS_US = 100_000


class Ticks:
    """Due at once, and then every `every_us`: a late look is not made up for, and does not delay the next."""

    def __init__(self, every_us: int) -> None:
        self._every_us = every_us
        self._next_us: int | None = None

    def due(self, now: int) -> bool:
        """Whether one is due; each only once."""
        due_us = now if self._next_us is None else self._next_us
        if now < due_us:
            return False
        self._next_us = max(due_us + self._every_us, now + self._every_us // 2)
        return True

    def wait_s(self) -> float:
        """How long until the next."""
        return 0.0 if self._next_us is None else max(0.0, (self._next_us - now_us()) / 1e6)


class SenderMeter:
    """Tells how far the lanes of a sender are, from the thread that watches them; nothing is done per packet."""

    def __init__(
        self,
        lanes: Sequence[Lane],
        stream: OutgoingStream,
        payload_size: int,
        size_bytes: int,
        program_version: Callable[[], int | None],
        on_event: OnEvent,
    ) -> None:
        self._lanes = lanes
        self._stream = stream
        self._payload_size = payload_size
        self._size_bytes = size_bytes
        self._program_version = program_version
        self._on_event = on_event
        self._began = time.monotonic()
        self._samples, self._progress = Ticks(SAMPLE_US), Ticks(PROGRESS_US)
        self._progress.due(now_us())  # nothing has been done yet

    def wait_s(self) -> float:
        """How long until there is something to tell."""
        return self._samples.wait_s()

    def tell(self) -> None:
        """Tell what is due."""
        now = now_us()
        if self._samples.due(now):
            self._on_event(self._sample(now, self.drained_bytes()))
        if self._progress.due(now):
            self._tell_progress(self.drained_bytes())

    def tell_end(self) -> None:
        """Everything was confirmed."""
        self._on_event(self._sample(now_us(), self._size_bytes))
        self._tell_progress(self._size_bytes)

    def drained_bytes(self) -> int:
        """Bytes of the file that the receiver has verified, as far as known."""
        drained = [_drained(lane) - lane.rules.first for lane in self._lanes]
        total = sum(self._stream.bytes_in(packets, self._payload_size) for packets in drained)
        return min(total, self._size_bytes)

    def where(self) -> str:
        """The same in words."""
        return f"{self.drained_bytes()} of {self._size_bytes} bytes verified by the receiver"

    def _tell_progress(self, done_bytes: int) -> None:
        seconds = time.monotonic() - self._began
        self._on_event(Progress(done_bytes=done_bytes, total_bytes=self._size_bytes, seconds=seconds))

    def _sample(self, now: int, done_bytes: int) -> Sample:
        rules = [lane.rules for lane in self._lanes]
        trips = [one.rtt.smoothed_us for one in rules if one.rtt.samples]
        waiting = sum(max(0, lane.rules.next_new - _drained(lane)) for lane in self._lanes)
        window = sum(lane.transmit.slots.window for lane in self._lanes)
        return Sample(
            side="sender",
            at_us=now,
            done_bytes=done_bytes,
            packets_sent=sum(one.packets + one.retransmissions + one.redundant_copies for one in rules),
            retransmissions=sum(one.retransmissions for one in rules),
            rtt_us=sum(trips) // len(trips) if trips else None,
            window_fill=min(1.0, waiting / window),  # the lanes go on while they are looked at
            program_version=self._program_version(),
        )


def receiver_sample(incoming: Incoming, now: int, program_version: int | None) -> Sample:
    """What the receiving side knows of a transfer: what it has verified, and how full its rings are."""
    deliveries = [lane.delivery for lane in incoming.lanes.values()]
    fills = [one.ring_fill() for one in deliveries if isinstance(one, RingDelivery)]
    return Sample(
        side="receiver",
        at_us=now,
        done_bytes=incoming.stream.file_bytes_written,
        ring_fill=sum(fills) / len(fills) if fills else None,
        program_version=program_version,
    )


def _drained(lane: Lane) -> int:
    """Every packet below was verified by the receiver; its slot is free."""
    return lane.rules.limit - lane.transmit.slots.window
