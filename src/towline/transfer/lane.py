# SPDX-License-Identifier: GPL-2.0-only
"""One lane of a sender at work: hear, fill, ask the rules, transmit; in a thread of its own, on a CPU of its own."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable

from towline.protocol.closing import Farewell
from towline.protocol.sender import LaneSender
from towline.protocol.window import unpack_ranges
from towline.transfer.ahead import FillAhead
from towline.transfer.filler import LaneFiller
from towline.transfer.stream import OutgoingStream
from towline.transmit.lane import BURST_MOST, TransmitLane, now_us
from towline.wire import Flag, Message

AHEAD_PACKETS = 2 * BURST_MOST
POLL_LEAST_US = 50
POLL_MOST_US = 1_000
VANISHED_US = 1_000_000  # live frames that nobody answers for so long (or four round trips) are not believed
IDLE_POLLS = 200  # at the least interval, before it grows


class Lane(threading.Thread):
    """Runs until `stop`, or until it fails; then `error` says how."""

    def __init__(
        self,
        *,
        number: int,
        rules: LaneSender,
        transmit: TransmitLane,
        stream: OutgoingStream,
        farewell: Farewell,
        send_control: Callable[[Message], None],
        fill_ahead: bool,
    ) -> None:
        super().__init__(name=f"towline-lane-{number}", daemon=True)
        self.rules = rules
        self.transmit = transmit
        self.error: BaseException | None = None
        self.first_sent_us: int | None = None
        self.heard = 0  # ACKs, for who watches whether the peer is alive
        self.fell_back = False  # live frames were sent and never heard of
        self._believed = False
        self._number = number
        self._filler = LaneFiller(stream, transmit.slots, transmit.lengths, rules.first)
        self._stream = stream
        self._farewell = farewell
        self._send_control = send_control
        self._ahead = FillAhead(self._filler, self._fillable, f"{self.name}-fill") if fill_ahead else None
        self._nacks: deque[Message] = deque()
        self._stopping = threading.Event()

    def nack(self, message: Message) -> None:
        """A NACK that came over the control socket; from another thread."""
        self._nacks.append(message)

    def stop(self) -> None:
        """Come to an end soon; from another thread."""
        self._stopping.set()

    def start(self) -> None:
        """Begin; from another thread, whose CPUs the filling inherits."""
        if self._ahead is not None:
            self._ahead.start()
        super().start()

    def run(self) -> None:
        """The thread."""
        try:
            cpus = sorted(os.sched_getaffinity(0))
            os.sched_setaffinity(0, {cpus[self._number % len(cpus)]})  # the queue is chosen by the sending CPU
            self._work()
        except BaseException as error:  # told to the main thread, which raises it
            self.error = error
        finally:
            if self._ahead is not None:
                self._ahead.stop()
                self._ahead.join()

    def _work(self) -> None:
        idle = 0
        while not self._stopping.is_set():
            if self._turn():
                idle = 0
                continue
            idle += 1
            self._sleep(idle)

    def _turn(self) -> bool:
        """One round; whether anything was sent."""
        rules, now = self.rules, now_us()
        self._hear(now)
        if self._ahead is None:
            self._filler.fill(self._fillable())
        elif self._ahead.error is not None:
            raise self._ahead.error
        rules.filled(self._filler.filled_to, end=self._filler.end)
        schedule = rules.next(now)
        if schedule is not None:
            sent_end = max(rules.next_new, int(schedule.indices[-1]) + 1)
            count, started, finished = self.transmit.send(schedule, sent_end)
            if self.first_sent_us is None:
                self.first_sent_us = started
            rules.sent(schedule, count, started, finished)
        if rules.finished_sending:
            fin = self._farewell.fin(
                packets=rules.packets, stream_bytes=self._stream.stream_bytes, rtt=rules.rtt, now=now
            )
            if fin is not None:
                self._send_control(fin)
        self._doubt(now)
        return schedule is not None

    def _doubt(self, now: int) -> None:
        """A driver that cannot take live frames lets them vanish without a word: believe the first answer only."""
        if self._believed or self.first_sent_us is None:
            return
        self._believed = self.heard > 0
        if not self._believed and now - self.first_sent_us > max(VANISHED_US, 4 * self.rules.rtt.smoothed_us):
            self._believed = True
            self.fell_back = self.transmit.fall_back()

    def _fillable(self) -> int:
        """Slots below this may be filled: they are free, and not further ahead than lanes can share the work."""
        return min(self.rules.limit, self.rules.next_new + AHEAD_PACKETS)

    def _hear(self, now: int) -> None:
        heard = self.transmit.hear(now)
        self.rules.acknowledged(heard.known, now)
        self.heard = heard.known.acks
        if heard.reopened:
            self.rules.negative(heard.reopened, now)
        if heard.ring_full:
            self.rules.ring_full(now)
        while self._nacks:
            message = self._nacks.popleft()
            if message.flags & Flag.FULL:
                self.rules.ring_full(now)
            else:
                self.rules.negative(unpack_ranges(message.tail), now)

    def _sleep(self, idle: int) -> None:
        now = now_us()
        poll = min(POLL_LEAST_US << max(0, idle // IDLE_POLLS), POLL_MOST_US)
        time.sleep(max(1, min(poll, self.rules.next_wakeup(now) - now)) / 1e6)
