# SPDX-License-Identifier: GPL-2.0-only
"""The sending end of tests/pair.py: rules, filler and stream as they are, around the twin of sender.bpf.c."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from tests import twins
from tests.fake_path import FRAME_BYTES
from tests.twin_memory import Records, State
from towline.errors import IntegrityError, MalformedError, PeerError, StalledError, TowlineError, UnconfirmedError
from towline.protocol.closing import CLOSES, Farewell, Liveness, abort, close
from towline.protocol.loss import RoundTrip
from towline.protocol.opening import Accepted, Caller, Offer
from towline.protocol.pacing import Pace
from towline.protocol.sender import Acknowledged, LaneSender, Schedule
from towline.protocol.window import unpack_ranges
from towline.slots import Slots, gather
from towline.transfer.filler import LaneFiller
from towline.transfer.stream import Entry, OutgoingStream
from towline.transmit.acknowledgements import RingAcknowledgements, SharedAcknowledgements
from towline.wire import DATA_LEAST_BYTES, HEADER_BYTES, Flag, Kind, Message, decode_untrusted, encode, reason_untrusted

if TYPE_CHECKING:
    from tests.fake_path import Clock
    from tests.pair import Plan
    from towline.kernel.memory import Ring

Send = Callable[[bytes], None]
STAMP_EVERY = 32  # as in transmit.h


class MemorySource:
    """A file in memory."""

    def __init__(self, content: bytes) -> None:
        self.name = "file"
        self.size_bytes = len(content)
        self.mode = 0o644
        self.mtime_ns = 0
        self._content = np.frombuffer(content, np.uint8)

    def read_into(self, views: list[NDArray[np.uint8]], offset: int) -> None:
        for view in views:
            view[:] = self._content[offset : offset + len(view)]
            offset += len(view)

    def close(self) -> None:
        """Nothing to let go."""


class Lane:
    """One lane: its slots, the twin, and the rules."""

    def __init__(
        self, plan: Plan, accepted: Accepted, rtt_us: int, stream: OutgoingStream, clock: Clock, send: Send
    ) -> None:
        terms, first = accepted.terms, accepted.first_index
        self.session = accepted.session
        self.packets_sent = 0
        self.first_sent_us = clock.now
        records = Records(plan.sender_records)
        self.twin = twins.Acknowledgements(
            session=accepted.session,
            window=terms.window,
            ring=terms.delivery == "ring",
            submit=records.submit,
            first_index=first,
        )
        state = State(self.twin)
        self._hearing = (
            RingAcknowledgements(state, terms.window, first, cast("Ring", records))
            if self.twin.ring
            else SharedAcknowledgements(state, terms.window, first)
        )
        self.rules = LaneSender(
            first=first,
            window=terms.window,
            ack_every=terms.ack_every,
            pipelining=plan.pipelining,
            burst=plan.burst,
            checksum=plan.checksum,
            rtt=RoundTrip.guess(rtt_us),
            now=clock.now,
            pace=None if plan.pace_bps is None else Pace(bits_per_second=plan.pace_bps),
            redundancy=plan.redundancy,
            frame_bytes=FRAME_BYTES + HEADER_BYTES + max(terms.payload_size, DATA_LEAST_BYTES),
        )
        memory = np.zeros(terms.window * terms.payload_size, np.uint8)
        self._slots = Slots(memory, window=terms.window, payload_size=terms.payload_size)
        self._lengths = np.zeros(terms.window, np.uint16)
        self._filler = LaneFiller(stream, self._slots, self._lengths, first)
        self._farewell = Farewell(accepted.session)
        self._stream = stream
        self._sent: dict[int, bytes] = {}  # what each index stood for when it left first
        self._nacks: list[Message] = []
        self._burst = plan.burst
        self._busy_until_us = clock.now
        self._plan = plan
        self._rng = Random(plan.seed)
        self._clock = clock
        self._send = send

    def nack(self, message: Message) -> None:
        """A NACK that came as a message (delivery direct)."""
        self._nacks.append(message)

    def turn(self) -> bool:
        """One round, as transfer/lane.py has it; whether anything was sent."""
        rules, now = self.rules, self._clock.now
        if now < self._busy_until_us:
            return False
        self._hear(now)
        self._filler.fill(min(rules.limit, rules.next_new + self._burst))
        rules.filled(self._filler.filled_to, end=self._filler.end)
        schedule = rules.next(now)
        if schedule is not None:
            self._transmit(schedule)
        if rules.finished_sending:
            fin = self._farewell.fin(
                packets=rules.packets, stream_bytes=self._stream.stream_bytes, rtt=rules.rtt, now=now
            )
            if fin is not None:
                self._send(encode(fin))
        return schedule is not None

    def next_wakeup(self) -> int:
        """When the next turn may have something to do."""
        now = self._clock.now
        if now < self._busy_until_us:
            return self._busy_until_us
        wakeup = self.rules.next_wakeup(now)
        assert wakeup > now, "a sender that has nothing to send, and does not sleep"
        return min(wakeup, now + 10_000) if self.rules.finished_sending else wakeup

    def _hear(self, now: int) -> None:
        heard = self._hearing.hear(now)
        self._check_heard(heard.known, now)
        self.rules.acknowledged(heard.known, now)
        reopened, full = list(heard.reopened), heard.ring_full
        for message in self._nacks:
            full = full or bool(message.flags & Flag.FULL)
            reopened += [] if message.flags & Flag.FULL else unpack_ranges(message.tail)
        self._nacks = []
        if reopened:
            self.rules.negative(reopened, now)
        if full:
            self.rules.ring_full(now)

    def _check_heard(self, known: Acknowledged, now: int) -> None:
        """What the process reads is what the twin knows, and on ring not more."""
        plain = self.twin.snapshot(known.base, now)
        if self.twin.ring:
            assert known.base < plain.base + 64, "acknowledged before it was recorded"  # a word may be recorded in part
            assert np.isin(plain.missing[plain.missing >= known.base], known.missing).all()
        else:
            assert (known.base, known.limit, known.highest) == (plain.base, plain.limit, plain.highest)
            assert np.array_equal(known.missing, plain.missing)
            assert np.array_equal(known.shown_us, plain.shown_us)

    def _transmit(self, schedule: Schedule) -> None:
        now = self._clock.now
        if not self.packets_sent:
            self.first_sent_us = now
        self._check(schedule)
        self.twin.sent_end = max(self.rules.next_new, int(schedule.indices[-1]) + 1) & 0xFFFFFFFF
        count = len(schedule)
        if self._rng.random() < self._plan.interrupted:
            count = self._rng.randrange(count)  # a signal
        stamp, each_us = 0, self._plan.sender_packet_us
        for entry, (index, flags) in enumerate(zip(schedule.indices.tolist(), schedule.flags.tolist(), strict=True)):
            if entry == count:
                break
            if entry % STAMP_EVERY == 0 or flags & Flag.FLUSH:
                stamp = (now + entry * each_us) & 0xFFFFFFFF or 1
            payload = gather(self._slots.pieces(index, 0, int(self._lengths[index % self._slots.window])))
            known = self._sent.setdefault(index, payload)
            stale = index < self.rules.limit - self._slots.window
            assert stale or known == payload, f"packet {index} leaves with another packet's bytes"
            packet = twins.data_packet(self.session, index, payload, flags, stamp)
            self._send_later(packet, now + entry * each_us)
        self.packets_sent += count
        self._busy_until_us = now + count * each_us
        self.rules.sent(schedule, count, now, self._busy_until_us)

    def _send_later(self, packet: bytes, when_us: int) -> None:
        if when_us <= self._clock.now:
            self._send(packet)
        else:
            self._clock.at(when_us, lambda: self._send(packet))

    def _check(self, schedule: Schedule) -> None:
        """What holds of every burst."""
        rules, copies = self.rules, self._plan.redundancy
        distinct = len(schedule) // copies
        indices, flags = schedule.indices[:distinct], schedule.flags[:distinct]
        fresh = indices[flags & Flag.AGAIN == 0]
        assert schedule.copies == copies
        assert 0 < len(schedule) <= max(self._burst, copies)
        assert (schedule.indices == np.tile(indices, copies)).all(), "copies of something else"
        assert not (schedule.flags[distinct:] & Flag.AGAIN).any(), "a copy that counts as a retransmission"
        assert len(np.unique(indices)) == len(indices), "a packet twice in a burst"
        assert indices.max() < min(rules.limit, rules.filled_to), "beyond the limit"
        assert indices.min() >= rules.first, "before the first"
        assert (fresh == np.arange(rules.next_new, rules.next_new + len(fresh))).all(), "new packets out of order"
        assert not (schedule.flags[:-1] & Flag.FLUSH).any(), "FLUSH in the middle of a burst"


class SenderEnd:
    """The sending process and its XDP program."""

    def __init__(self, plan: Plan, content: bytes, clock: Clock, send: Send) -> None:
        self.result: TowlineError | str | None = None
        self.ended_us = 0
        self.lanes: list[Lane] = []
        self._plan = plan
        self._content = content
        self._clock = clock
        self._send = send
        offer = Offer(
            transfer=plan.seed + 1,
            lanes=plan.lanes,
            payload_size=plan.payload_size,
            ack_every=plan.ack_every,
            window=plan.window,
            address=b"sender",
        )
        self._caller = Caller(offer, clock.now)
        self._liveness = Liveness(timeout_us=plan.timeout_us, stalled_us=plan.stalled_us, now=clock.now)
        self._inbox: list[bytes] = []
        self._wake_us: int | None = None
        self._heard = 0
        self.wake_at(clock.now)

    def arrive(self, packet: bytes) -> None:
        """A packet at the interface: XDP first."""
        if all(lane.twin.receive(packet, self._clock.now) == "pass" for lane in self.lanes):
            self._inbox.append(packet)
        if self.result is None:
            self.wake_at(self._clock.now + self._plan.sender_poll_us)

    def wake_at(self, when_us: int) -> None:
        """Have the process run then, unless it does earlier."""
        if self._wake_us is None or when_us < self._wake_us:
            self._wake_us = when_us
            self._clock.at(when_us, lambda: self._woken(when_us))

    def _woken(self, when_us: int) -> None:
        if self._wake_us != when_us or self.result is not None:
            return
        self._wake_us = None
        self.ended_us = self._clock.now
        try:
            self._step()
        except TowlineError as error:
            self.result = error
            for lane in self.lanes:
                self._send(encode(abort(lane.session, str(error))))
        if self.result is None:
            dead_us = self._clock.now + self._plan.timeout_us + 1
            wakeups = [lane.next_wakeup() for lane in self.lanes] or [self._caller.next_wakeup()]
            self.wake_at(min(*wakeups, dead_us))

    def _step(self) -> None:
        now = self._clock.now
        inbox, self._inbox = self._inbox, []
        for packet in inbox:
            try:
                message = decode_untrusted(packet)
            except MalformedError:
                continue
            self._heed(message)
        if not self.lanes:
            self._call()
        for _ in range(1000):
            if self.result is not None or not self._turn():
                break
        else:
            raise AssertionError("a sender that never stops sending")
        self._watch(now)

    def _turn(self) -> bool:
        sent = [lane.turn() for lane in self.lanes]
        return any(sent)

    def _call(self) -> None:
        for message in self._caller.next(self._clock.now):
            self._send(encode(message))
        if self._caller.done:
            plan, clock = self._plan, self._clock
            accepted = [self._caller.accepted[lane] for lane in range(plan.lanes)]
            source = MemorySource(self._content)
            entry = Entry(name=source.name, size_bytes=source.size_bytes, mode=source.mode, mtime_ns=0)
            self._stream = OutgoingStream(entry, source, accepted[0].terms.block_bytes)
            rtt_us = self._caller.rtt_us
            self.lanes = [Lane(plan, one, rtt_us, self._stream, clock, self._send) for one in accepted]

    def _heed(self, message: Message) -> None:
        now = self._clock.now
        if message.kind in (Kind.RETRY, Kind.ACCEPT, Kind.REJECT):
            self._caller.heard(message, now)
        lane = next((lane for lane in self.lanes if lane.session == message.session), None)
        if lane is None or self.result is not None:
            return
        self._liveness.heard(now)
        match message.kind:
            case Kind.NACK:
                lane.nack(message)
            case Kind.ABORT:
                raise PeerError("aborted", reason_untrusted(message.fields["reason"]))
            case Kind.DONE:
                self._confirmed(message)

    def _confirmed(self, message: Message) -> None:
        stream = self._stream
        if not all(lane.rules.finished_sending for lane in self.lanes):
            raise PeerError("confirmed what was not sent yet")
        expected = {"stream_bytes": stream.stream_bytes, "digest": stream.digest.whole(stream.blocks)}
        if message.fields != expected:
            raise IntegrityError("the receiver's digest of the whole is another than ours")
        for lane in self.lanes:
            for _ in range(CLOSES):
                self._send(encode(close(lane.session)))
        self.result = "done"

    def _watch(self, now: int) -> None:
        heard = sum(lane.twin.acks + lane.twin.nacks + lane.twin.full_nacks for lane in self.lanes)
        if heard != self._heard:
            self._heard = heard
            self._liveness.heard(now)
        where = [(lane.rules.base, lane.rules.limit) for lane in self.lanes]
        self._liveness.at(where, now)
        try:
            self._liveness.check(now, str(where))
        except (PeerError, StalledError) as error:
            if self.lanes and all(lane.rules.finished_sending for lane in self.lanes):
                raise UnconfirmedError(str(error)) from error
            raise
