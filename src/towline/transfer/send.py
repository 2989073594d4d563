# SPDX-License-Identifier: GPL-2.0-only
"""One file to one receiver, from HELLO to CLOSE."""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path

from towline.errors import (
    IntegrityError,
    NoReceiverError,
    PeerError,
    SettingsError,
    StalledError,
    UnconfirmedError,
)
from towline.protocol import closing
from towline.protocol.closing import CLOSES, Farewell, Liveness
from towline.protocol.loss import RoundTrip
from towline.protocol.opening import Accepted, Caller, Offer, Terms
from towline.protocol.pacing import Pace
from towline.protocol.sender import LaneSender
from towline.protocol.trial import Movement
from towline.settings import NEAR_WINDOW, Settings
from towline.sockets.inbox import is_same
from towline.transfer.control import Control
from towline.transfer.events import Finished, Note, OnEvent, Started
from towline.transfer.files import FileSource, RandomSource, Source
from towline.transfer.lane import Lane
from towline.transfer.reach import Reach, reach
from towline.transfer.record import sender_record
from towline.transfer.sampling import SenderMeter
from towline.transfer.stream import Entry, OutgoingStream
from towline.transfer.target import parse_target
from towline.transfer.transmitters import by_socket_at, hears_by_xdp, open_transmitter
from towline.transfer.usage import Usage
from towline.transfer.watchdog import Watchdog
from towline.transmit.flow import packet_bytes
from towline.transmit.lane import BURST_MOST, Transmitter, now_us
from towline.wire import Kind, Message, reason_untrusted

LISTEN_S = 0.05


def send(source: Path | int, target: str, settings: Settings, *, on_event: OnEvent, seed: int = 0) -> None:
    """Send a file, or so many random bytes, to MAC%IF or a host; returns when the receiver has confirmed it.

    Raises TowlineError: NoReceiverError, PeerError, StalledError, UnconfirmedError (everything was sent, the
    confirmation never came), FileError, SettingsError, and what the kernel room raises.
    """
    way = reach(parse_target(target, settings.level), settings)
    control = Control([way.port])
    opened: Source | None = None
    try:
        if settings.transmit == "udp" and not way.level.has_ports:
            raise SettingsError(f"--transmit udp needs level udp6 or udp4, not {way.level.name}")
        payload_size = _payload_size(settings, way)
        opened = RandomSource(source, seed) if isinstance(source, int) else FileSource(source)
        _Sending(opened, target, way, control, payload_size, settings, on_event).run()
    finally:
        control.close()
        if opened is not None:
            opened.close()


def _payload_size(settings: Settings, way: Reach) -> int:
    level, link = way.level, way.interface
    largest = level.largest_payload_bytes(link.mtu)
    if settings.payload_size is not None and settings.payload_size > largest:
        raise SettingsError(
            f"a payload of {settings.payload_size} bytes does not fit a frame of {link.name} (MTU {link.mtu}) at level "
            f"{level.name}: at most {largest}, or raise the MTU to {level.mtu_for(settings.payload_size)}"
        )
    return settings.payload_size or largest


class _Sending:
    """The transfer as it goes on, in the main thread; lanes have their own."""

    def __init__(
        self,
        source: Source,
        target: str,
        way: Reach,
        control: Control,
        payload_size: int,
        settings: Settings,
        on_event: OnEvent,
    ) -> None:
        self._source = source
        self._target = target
        self._way = way
        self._control = control
        self._payload_size = payload_size
        self._settings = settings
        self._on_event = on_event
        self._usage = Usage()
        self._lanes: dict[int, Lane] = {}  # by session
        self._heard = 0
        self._finished_us: int | None = None

    def run(self) -> None:
        """From HELLO to CLOSE."""
        started_us = now_us()
        accepted, rtt_us = self._handshake()
        terms = accepted[0].terms
        entry = Entry(
            name=self._source.name,
            size_bytes=self._source.size_bytes,
            mode=self._source.mode,
            mtime_ns=self._source.mtime_ns,
        )
        self._stream = OutgoingStream(entry, self._source, terms.block_bytes)
        try:
            transmitter = open_transmitter(self._way, self._control, accepted, self._settings)
        except BaseException:
            self._abort(accepted, "the sender could not begin")
            raise
        self._control.others_pump = transmitter.xdp_mode is None
        try:
            with Watchdog(transmitter, "sender", self._on_event, now_us()) as watchdog:
                self._begin(accepted, transmitter, rtt_us, watchdog)
                self._transfer(transmitter, watchdog)
        except BaseException as error:
            self._abort(accepted, f"the sender gave up ({str(error) or type(error).__name__})")
            raise
        else:
            self._end_lanes()  # before they are counted: one might send again meanwhile
            self._on_event(self._finished(accepted[0].terms, transmitter, started_us))
        finally:
            self._end_lanes()
            transmitter.close()

    def _end_lanes(self) -> None:
        for lane in self._lanes.values():
            lane.stop()
        for lane in self._lanes.values():
            if lane.ident is not None:  # it was started
                lane.join()

    def _say(self, message: Message) -> None:
        self._control.send(self._way.port, message, self._way.peer)

    # ---- the handshake

    def _handshake(self) -> tuple[list[Accepted], int]:
        settings = self._settings
        offer = Offer(
            transfer=secrets.randbits(64),
            lanes=settings.lanes,
            payload_size=self._payload_size,
            ack_every=settings.ack_every,
            window=settings.window_most,
            address=self._way.interface.mac or bytes(6),
            by_socket=not hears_by_xdp(self._way.interface, settings),
        )
        caller = Caller(offer, now_us(), near_window=None if settings.window else NEAR_WINDOW)
        give_up = time.monotonic() + settings.timeout_s
        while not caller.done:
            now = now_us()
            for message in caller.next(now):
                self._say(message)
            if time.monotonic() > give_up:
                raise NoReceiverError(self._target, settings.timeout_s)
            for letter in self._control.receive(max(0.0, (caller.next_wakeup() - now_us()) / 1e6)):
                if is_same(letter.peer, self._way.peer):
                    caller.heard(letter.message, now_us())
        return [caller.accepted[lane] for lane in range(settings.lanes)], caller.rtt_us

    def _begin(self, accepted: list[Accepted], transmitter: Transmitter, rtt_us: int, watchdog: Watchdog) -> None:
        settings = self._settings
        frame_bytes = self._way.level.frame_bytes + packet_bytes(self._payload_size)
        for number, (one, transmit) in enumerate(zip(accepted, transmitter.lanes, strict=True)):
            rules = LaneSender(
                first=one.first_index,
                window=one.terms.window,
                ack_every=one.terms.ack_every,
                pipelining=settings.pipelining,
                burst=BURST_MOST,
                checksum=settings.checksum,
                rtt=RoundTrip.guess(rtt_us),
                now=now_us(),
                pace=Pace(bits_per_second=settings.pace / len(accepted)) if settings.pace else None,
                redundancy=settings.redundancy,
                frame_bytes=frame_bytes,
            )
            self._lanes[one.session] = Lane(
                number=number,
                rules=rules,
                transmit=transmit,
                stream=self._stream,
                farewell=Farewell(one.session),
                send_control=self._say,
                fill_ahead=len(accepted) < len(os.sched_getaffinity(0)),
            )
        self._on_event(
            Started(
                name=self._source.name,
                peer=self._target,
                file_bytes=self._source.size_bytes,
                payload_size=self._payload_size,
                lanes=len(accepted),
                level=self._way.level.name,
                transmit=transmitter.transmit,
                mode=transmitter.xdp_mode,
                notes=transmitter.notes,
            )
        )
        self._meter = SenderMeter(
            list(self._lanes.values()),
            self._stream,
            self._payload_size,
            self._source.size_bytes,
            lambda: watchdog.version,
            self._on_event,
        )
        self._meter.tell()
        for lane in self._lanes.values():
            lane.start()

    # ---- while bytes flow

    def _transfer(self, transmitter: Transmitter, watchdog: Watchdog) -> None:
        liveness = Liveness(
            timeout_us=self._settings.timeout_s * 1_000_000, stalled_us=self._settings.stalled_us, now=now_us()
        )
        while self._finished_us is None:
            self._meter.tell()
            for letter in self._control.receive(min(LISTEN_S, self._meter.wait_s())):
                if is_same(letter.peer, self._way.peer):
                    self._heed(letter.message, liveness)
            self._watch(liveness, now_us())
            watchdog.look(self._acknowledged(), now_us())
            if transmitter.transmit == "live" and any(lane.fell_back for lane in self._lanes.values()):
                transmitter.transmit = by_socket_at(self._way, self._settings)
                self._on_event(
                    Note(text=f"live frames were not answered: from here on by {transmitter.transmit} socket")
                )
        self._meter.tell_end()

    @property
    def _has_arrived(self) -> bool:
        """Whether the receiver has every packet, by all that we have heard."""
        return all(lane.rules.base == lane.rules.end for lane in self._lanes.values())

    def _acknowledged(self) -> Movement | None:
        """How many packets the receiver has, by all that we have heard; None where it has them all.

        What has left and owes no ACK yet postpones a program's end: at a low rate one is due seldom. It proves nothing.
        """
        if self._has_arrived:
            return None
        lanes = self._lanes.values()
        counts = [one.rules.base - one.rules.first for one in lanes]
        owing = (one.rules.packets - count for one, count in zip(lanes, counts, strict=True))
        mark = sum(counts) + sum(min(one, self._settings.ack_every) for one in owing)
        return Movement(mark=mark, carried=sum(counts), window=sum(one.transmit.slots.window for one in lanes))

    def _heed(self, message: Message, liveness: Liveness) -> None:
        lane = self._lanes.get(message.session)
        if lane is None:
            return
        liveness.heard(now_us())
        match message.kind:
            case Kind.NACK:
                lane.nack(message)
            case Kind.ABORT:
                raise PeerError("aborted", reason_untrusted(message.fields["reason"]), self._meter.where())
            case Kind.DONE:
                self._confirmed(message)

    def _confirmed(self, message: Message) -> None:
        stream = self._stream
        if self._finished_us is None:
            if not all(lane.rules.finished_sending for lane in self._lanes.values()):
                raise PeerError("confirmed what was not sent yet", progress=self._meter.where())
            self._finished_us = now_us()
            expected = (stream.stream_bytes, stream.digest.whole(stream.blocks))
            if (message.fields["stream_bytes"], message.fields["digest"]) != expected:
                raise IntegrityError("the receiver's digest of the whole is another than ours")
            for session in self._lanes:
                for _ in range(CLOSES):
                    self._say(closing.close(session))

    def _watch(self, liveness: Liveness, now: int) -> None:
        for lane in self._lanes.values():
            if lane.error is not None:
                raise lane.error
        heard = sum(lane.heard for lane in self._lanes.values())
        if heard != self._heard:
            self._heard = heard
            liveness.heard(now)
        # When all has arrived only the receiving process speaks; it may have to read again what another has written,
        # and notices by itself if that stands still.
        last_words = heard if self._has_arrived else None
        liveness.at((last_words, [(lane.rules.base, lane.rules.limit) for lane in self._lanes.values()]), now)
        try:
            liveness.check(now, self._meter.where())
        except (PeerError, StalledError) as error:
            if all(lane.rules.finished_sending for lane in self._lanes.values()):
                raise UnconfirmedError(str(error)) from error
            raise

    def _abort(self, accepted: list[Accepted], reason: str) -> None:
        if self._finished_us is None:
            for one in accepted:
                self._say(closing.abort(one.session, reason))

    # ---- what is told

    def _finished(self, terms: Terms, transmitter: Transmitter, started_us: int) -> Finished:
        assert self._finished_us is not None
        record = sender_record(
            lanes=list(self._lanes.values()),
            terms=terms,
            settings=self._settings,
            file_bytes=self._source.size_bytes,
            level=self._way.level.name,
            transmitter=transmitter,
            started_us=started_us,
            finished_us=self._finished_us,
            control_sent=self._control.sent,
        )
        return Finished(name=self._source.name, path=None, record=record | self._usage.record())
