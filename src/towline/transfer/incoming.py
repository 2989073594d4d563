# SPDX-License-Identifier: GPL-2.0-only
"""One transfer on the receiving side: its lanes, its file, and how it ends."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from towline.delivery import Delivery
from towline.errors import IntegrityError, MalformedError, PeerError
from towline.protocol import closing
from towline.protocol.closing import Liveness
from towline.protocol.opening import Terms
from towline.protocol.receiver import LaneReceiver, Span, Stream
from towline.protocol.window import Indices, pack_ranges
from towline.slots import gather
from towline.sockets.port import Peer
from towline.transfer.digest import DIGEST_BYTES, block_digest, read_trailer
from towline.transfer.files import Sink
from towline.transfer.persist.keeping import Keeping
from towline.transfer.persist.ledger import LaneFacts
from towline.transfer.persist.recheck import Recheck
from towline.transfer.stream import IncomingStream
from towline.wire import INDEX_MASK, RANGE, TRAILER_BYTES, Kind, Message, reason_untrusted

WINDOW_SHARE = 4  # an ACK by the process when so manieth part of the window has opened untold
LINGER_US = 10_000_000
WATCH_US = 10_000  # between two looks at whether the sender is alive
NACK_RANGES_MOST = 24  # a message fits the smallest MTU


class Verdict(enum.Enum):
    """What became of a block that was placed."""

    KEPT = enum.auto()
    NOT_YET = enum.auto()  # its digest is right, and its file's entry has not come
    WRONG = enum.auto()


class Stage(enum.Enum):
    """Where a transfer stands."""

    RECEIVING = enum.auto()
    CONFIRMED = enum.auto()  # stored; DONE is said until CLOSE
    OVER = enum.auto()


@dataclass
class IncomingLane:
    """One session: what arrives, and the rules for it."""

    session: int
    lane: int
    first_index: int
    delivery: Delivery
    rules: LaneReceiver
    told_limit: int
    nacks: int = 0
    acks: int = 0
    counters: dict[str, int] = field(default_factory=dict)


class Incoming:
    """Call `step` often; `heed` with each message of one of its sessions."""

    def __init__(
        self,
        *,
        peer: Peer | None,
        lanes: int,
        terms: Terms,
        sink: Sink,
        timeout_us: int,
        stalled_us: int,
        rtt_us: int,
        now: int,
        reply: Callable[[Message], None],
        keeper: Keeping | None = None,
    ) -> None:
        """`peer`: whom its messages come from, None where frames name no source; `reply` answers the sender; `keeper`
        writes down what the next process needs.
        """
        self.peer = peer
        self.terms = terms
        self.sink = sink
        self.lanes: dict[int, IncomingLane] = {}  # by session
        self.stage = Stage.RECEIVING
        self.stream = IncomingStream(sink, terms.block_bytes)
        self.stream_bytes: int | None = None
        self.began_us = now
        self.more = False  # something has arrived that the last step did not take: step again soon
        self.recheck: Recheck | None = None  # of what a predecessor has written
        self._whole = b""  # the stream's digest, when it is complete
        self._expected_lanes = lanes
        self._reply = reply
        self._keeper = keeper
        self.rtt_us = rtt_us
        self._liveness = Liveness(timeout_us=timeout_us, stalled_us=stalled_us, now=now)
        self._last_heard_us = self._watched_us = now

    def add(self, session: int, lane: int, first_index: int, delivery: Delivery) -> None:
        """A lane has its session."""
        if self._keeper:
            self._keeper.lane(session, lane, first_index)
        self._add(session, lane, first_index, delivery)

    def _add(self, session: int, lane: int, first_index: int, delivery: Delivery) -> None:
        stream = Stream(block_bytes=self.terms.block_bytes, payload_size=self.terms.payload_size)
        rules = LaneReceiver(first=first_index, stream=stream, rtt_us=self.rtt_us)
        self.lanes[session] = IncomingLane(session, lane, first_index, delivery, rules, first_index + self.terms.window)

    # ---- as a predecessor has left it

    def resume(self, lane: LaneFacts, drained: int, stream_bytes: int | None, delivery: Delivery) -> None:
        """A lane, from `drained` on. Raises MalformedError, IntegrityError."""
        self._add(lane.session, lane.lane, lane.first_index, delivery)
        resumed = self.lanes[lane.session]
        if lane.packets is not None and stream_bytes:
            self._end_known(resumed, lane.packets, stream_bytes)
        resumed.rules.resume(drained)
        resumed.told_limit = drained + self.terms.window

    def resume_confirmed(self, digest: bytes, now: int) -> None:
        """The file stands under its name; its sender may not know. Raises MalformedError."""
        if self.stream_bytes is None or len(digest) != DIGEST_BYTES:
            raise MalformedError("a file that was finished before its transfer was")
        self._whole = digest
        self.stage = Stage.CONFIRMED
        self._last_heard_us = now
        self.count()

    @property
    def name(self) -> str:
        """What is known of the file's name."""
        return self.stream.entry.name if self.stream.entry else "(unnamed yet)"

    @property
    def has_all(self) -> bool:
        """Whether nothing more has to come, though what a predecessor has written may still be read again."""
        return all(lane.rules.done for lane in self.lanes.values())

    def progress(self) -> str:
        """Where it stands, in words."""
        total = f" of {self.stream.entry.size_bytes}" if self.stream.entry else ""
        return f"{self.stream.file_bytes_written}{total} bytes verified"

    def heed(self, message: Message, now: int) -> None:
        """FIN, CLOSE or ABORT. Raises PeerError, IntegrityError."""
        self._liveness.heard(now)
        self._last_heard_us = now
        lane = self.lanes[message.session]
        match message.kind:
            case Kind.FIN if self.stage is Stage.CONFIRMED:
                self._say_done(lane)
            case Kind.FIN:
                self._finished(lane, message)
            case Kind.CLOSE if self.stage is Stage.CONFIRMED:
                self.stage = Stage.OVER
            case Kind.ABORT if self.stage is Stage.RECEIVING:
                raise PeerError("aborted", reason_untrusted(message.fields["reason"]), self.progress())

    def step(self, now: int) -> bool:
        """Verify what has arrived, hand it over, ask again, notice the end; whether anything moved.

        Raises TowlineError: the transfer has failed.
        """
        if self.stage is not Stage.RECEIVING:
            if now - self._last_heard_us > LINGER_US:
                self.stage = Stage.OVER
            return False
        moved = self.more = False
        for lane in self.lanes.values():
            moved = self._drain(lane, now) or moved
        if self._complete():
            self._confirm(now)
            return True
        self._watch(now)
        return moved

    def count(self) -> None:
        """Look at what the lanes have counted."""
        for lane in self.lanes.values():
            lane.counters = lane.delivery.counters()

    def fail(self, reason: str) -> None:
        """Tell the sender that it is over, and leave nothing."""
        for session in self.lanes:
            self._reply(closing.abort(session, reason))
        if self.recheck:
            self.recheck.stop()
        self.sink.discard()
        self.stage = Stage.OVER

    def _watch(self, now: int) -> None:
        if now - self._watched_us < WATCH_US:
            return
        self._watched_us = now
        if self.recheck and self.recheck.is_done():
            self.recheck = None
        for lane in self.lanes.values():
            counters = lane.delivery.counters()
            if counters != lane.counters:
                lane.counters = counters
                self._liveness.heard(now)
        read_again = self.recheck.blocks_read if self.recheck else None
        arrived = [(one.counters["placed"], one.rules.drained) for one in self.lanes.values()]
        self._liveness.at((read_again, arrived), now)
        self._liveness.check(now, self.progress())

    # ---- blocks

    def _drain(self, lane: IncomingLane, now: int) -> bool:
        delivery, rules = lane.delivery, lane.rules
        self.more = delivery.collect() or self.more
        wanted = delivery.wanted()
        moved = False
        for span in rules.placed(delivery.ready, delivery.highest, wanted):
            verdict = self._verify(lane, span)
            if verdict is Verdict.KEPT:
                drained = rules.verified(span)
                if self._keeper:
                    self._keeper.drained(lane.lane, drained)
                delivery.drained(drained)
                self._open_window(lane)
                moved = True
            elif verdict is Verdict.WRONG and rules.is_damaged(span, delivery.highest):
                delivery.take_back(np.arange(span.first, span.end))
                wanted = delivery.wanted()
        self._ask_again(lane, now, rules.nack(wanted, now))
        return moved

    def _verify(self, lane: IncomingLane, span: Span) -> Verdict:
        """Hand a block over whose digest is right."""
        slots = lane.delivery.slots
        for size in span.sizes:
            number, claimed = read_trailer(gather(slots.pieces(span.first, size, TRAILER_BYTES)))
            views = slots.pieces(span.first, 0, size)
            if block_digest(number, views) == claimed:
                if not self.stream.offer(number, views, claimed):
                    return Verdict.NOT_YET
                if self._keeper:
                    self._keeper.written(number, claimed, self.stream, self.sink)
                return Verdict.KEPT
        return Verdict.WRONG

    def _open_window(self, lane: IncomingLane) -> None:
        """XDP says it with the next ACK, unless the sender has stopped: it would wait for its probe."""
        delivery = lane.delivery
        told = max(delivery.advertised, lane.told_limit)
        limit = lane.rules.drained + self.terms.window
        if limit - told >= self.terms.window // WINDOW_SHARE or (limit > told and delivery.highest >= told):
            lane.told_limit = limit
            lane.acks += 1
            self._reply(_window_update(lane, limit))

    def _ask_again(self, lane: IncomingLane, now: int, indices: Indices) -> None:
        body, most_bytes = pack_ranges(indices), NACK_RANGES_MOST * RANGE.itemsize
        for at in range(0, len(body), most_bytes):
            lane.nacks += 1
            self._reply(Message(kind=Kind.NACK, session=lane.session, tail=body[at : at + most_bytes]))

    # ---- the end

    def _finished(self, lane: IncomingLane, message: Message) -> None:
        stream_bytes = message.fields["stream_bytes"]
        if self.stream_bytes not in (None, stream_bytes) or not stream_bytes:
            raise IntegrityError("the sender named two different lengths of the stream")
        if self._keeper:
            self._keeper.ending(lane.session, message.fields["packets"], stream_bytes)
        self._end_known(lane, message.fields["packets"], stream_bytes)
        if self.recheck and lane.rules.done:  # it may take longer than the sender believes in silence
            self._reply(_window_update(lane, lane.rules.drained + self.terms.window))

    def _end_known(self, lane: IncomingLane, packets: int, stream_bytes: int) -> None:
        self.stream_bytes = stream_bytes
        stream = Stream(
            block_bytes=self.terms.block_bytes, payload_size=self.terms.payload_size, stream_bytes=stream_bytes
        )
        lane.rules.finished(packets, stream)

    def _complete(self) -> bool:
        if self.stream_bytes is None or len(self.lanes) < self._expected_lanes:
            return False
        if not self.has_all:
            return False
        if not self.stream.complete(self.stream_bytes):
            raise IntegrityError("every lane is at its end, but blocks are missing")
        return self.recheck is None or self.recheck.is_done()

    def _confirm(self, now: int) -> None:
        assert self.stream.entry is not None
        assert self.stream_bytes is not None
        self._whole = self.stream.digest.whole(-(-self.stream_bytes // self.terms.block_bytes))
        if self._keeper:
            self._keeper.complete(self._whole)
        self.sink.finish(self.stream.entry.size_bytes)
        self.stage = Stage.CONFIRMED
        self._last_heard_us = now
        self.count()
        for lane in self.lanes.values():
            self._say_done(lane)

    def _say_done(self, lane: IncomingLane) -> None:
        assert self.stream_bytes is not None
        self._reply(closing.done(lane.session, self.stream_bytes, self._whole))


def _window_update(lane: IncomingLane, limit: int) -> Message:
    """An ACK from the process: nothing but base and limit; its timestamp of 0 is no round-trip sample."""
    ready, highest = lane.delivery.ready, lane.delivery.highest
    first = ready >> 6 & 0x3FFFFFF
    fields = {"limit": limit & INDEX_MASK, "highest": highest & INDEX_MASK, "first": first}
    return Message(kind=Kind.ACK, session=lane.session, index=ready, fields=fields)
