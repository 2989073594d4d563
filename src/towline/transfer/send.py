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
from towline.framing import ETHERNET, ethernet_frame
from towline.kernel.link import Interface, interface
from towline.protocol import closing
from towline.protocol.closing import CLOSES, Farewell, Liveness
from towline.protocol.loss import RoundTrip
from towline.protocol.opening import Accepted, Caller, Offer, Terms
from towline.protocol.sender import LaneSender
from towline.settings import NEAR_WINDOW, Settings
from towline.transfer.control import Control
from towline.transfer.events import Finished, OnEvent, Progress, Started
from towline.transfer.files import FileSource, RandomSource, Source
from towline.transfer.lane import Lane
from towline.transfer.record import sender_record
from towline.transfer.stream import Entry, OutgoingStream
from towline.transfer.target import Target, format_address, parse_target
from towline.transfer.usage import Usage
from towline.transmit.live import (
    BURST_MOST,
    LiveTransmitter,
    now_us,
    prepare,
    require_live_frames,
)
from towline.wire import Kind, Message, reason_untrusted

PROGRESS_S = 0.1
LISTEN_S = 0.05


def send(source: Path | int, target: str, settings: Settings, *, on_event: OnEvent, seed: int = 0) -> None:
    """Send a file, or so many random bytes, to MAC%IF; returns when the receiver has confirmed it.

    Raises TowlineError: NoReceiverError, PeerError, StalledError, UnconfirmedError (everything was sent, the
    confirmation never came), FileError, SettingsError, and what the kernel room raises.
    """
    where = parse_target(target)
    link = interface(where.interface)
    payload_size = _payload_size(settings, link)
    prepare(settings)
    opened = RandomSource(source, seed) if isinstance(source, int) else FileSource(source)
    control = Control(link.name, link.mac)
    try:
        _Sending(opened, where, link, control, payload_size, settings, on_event).run()
    finally:
        control.close()
        opened.close()


def _payload_size(settings: Settings, link: Interface) -> int:
    largest = ETHERNET.largest_payload_bytes(link.mtu)
    if settings.payload_size is not None and settings.payload_size > largest:
        raise SettingsError(
            f"a payload of {settings.payload_size} bytes does not fit a frame of {link.name} (MTU {link.mtu}): "
            f"at most {largest}, or raise the MTU to {ETHERNET.mtu_for(settings.payload_size)}"
        )
    return settings.payload_size or largest


class _Sending:
    """The transfer as it goes on, in the main thread; lanes have their own."""

    def __init__(
        self,
        source: Source,
        target: Target,
        link: Interface,
        control: Control,
        payload_size: int,
        settings: Settings,
        on_event: OnEvent,
    ) -> None:
        self._source = source
        self._target = target
        self._link = link
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
        frames = (
            ethernet_frame(self._target.address, self._link.mac),
            ethernet_frame(self._link.mac, self._target.address),
        )
        try:
            require_live_frames(self._link)  # now: a veth can once its peer has a program
            transmitter = LiveTransmitter(self._link, ETHERNET, accepted, frames, self._settings)
        except BaseException:
            self._abort(accepted, "the sender could not begin")
            raise
        try:
            self._begin(accepted, transmitter, rtt_us)
            self._transfer()
        except BaseException as error:
            self._abort(accepted, f"the sender gave up ({str(error) or type(error).__name__})")
            raise
        else:
            self._on_event(self._finished(accepted[0].terms, transmitter, started_us))
        finally:
            for lane in self._lanes.values():
                lane.stop()
            for lane in self._lanes.values():
                lane.join()
            transmitter.close()

    # ---- the handshake

    def _handshake(self) -> tuple[list[Accepted], int]:
        settings = self._settings
        offer = Offer(
            transfer=secrets.randbits(64),
            lanes=settings.lanes,
            payload_size=self._payload_size,
            ack_every=settings.ack_every,
            window=settings.window_most,
            address=self._link.mac,
        )
        caller = Caller(offer, now_us(), near_window=None if settings.window else NEAR_WINDOW)
        give_up = time.monotonic() + settings.timeout_s
        while not caller.done:
            now = now_us()
            for message in caller.next(now):
                self._control.send(message, self._target.address)
            if time.monotonic() > give_up:
                raise NoReceiverError(str(self._target), settings.timeout_s)
            for letter in self._control.receive(max(0.0, (caller.next_wakeup() - now_us()) / 1e6)):
                if letter.address == self._target.address:
                    caller.heard(letter.message, now_us())
        return [caller.accepted[lane] for lane in range(settings.lanes)], caller.rtt_us

    def _begin(self, accepted: list[Accepted], transmitter: LiveTransmitter, rtt_us: int) -> None:
        for number, (one, live) in enumerate(zip(accepted, transmitter.lanes, strict=True)):
            rules = LaneSender(
                first=one.first_index,
                window=one.terms.window,
                ack_every=one.terms.ack_every,
                pipelining=self._settings.pipelining,
                burst=BURST_MOST,
                checksum=self._settings.checksum,
                rtt=RoundTrip.guess(rtt_us),
                now=now_us(),
            )
            self._lanes[one.session] = Lane(
                number=number,
                rules=rules,
                live=live,
                stream=self._stream,
                farewell=Farewell(one.session),
                send_control=lambda message: self._control.send(message, self._target.address),
                fill_ahead=len(accepted) < len(os.sched_getaffinity(0)),
            )
        mode = transmitter.link.mode
        notes = (transmitter.link.why_not_native,) if transmitter.link.why_not_native else ()
        self._on_event(
            Started(
                name=self._source.name,
                peer=format_address(self._target.address),
                file_bytes=self._source.size_bytes,
                payload_size=self._payload_size,
                lanes=len(accepted),
                mode=mode,
                notes=notes,
            )
        )
        for lane in self._lanes.values():
            lane.start()

    # ---- while bytes flow

    def _transfer(self) -> None:
        liveness = Liveness(timeout_us=self._settings.timeout_s * 1_000_000, now=now_us())
        began = told = time.monotonic()
        while self._finished_us is None:
            for letter in self._control.receive(LISTEN_S):
                if letter.address == self._target.address:
                    self._heed(letter.message, liveness)
            now, seconds = now_us(), time.monotonic()
            self._watch(liveness, now)
            if seconds - told >= PROGRESS_S:
                told = seconds
                self._on_event(self._progress(seconds - began))
        self._on_event(self._progress(time.monotonic() - began))

    def _heed(self, message: Message, liveness: Liveness) -> None:
        lane = self._lanes.get(message.session)
        if lane is None:
            return
        liveness.heard(now_us())
        match message.kind:
            case Kind.NACK:
                lane.nack(message)
            case Kind.ABORT:
                raise PeerError("aborted", reason_untrusted(message.fields["reason"]), self._where())
            case Kind.DONE:
                self._confirmed(message)

    def _confirmed(self, message: Message) -> None:
        stream = self._stream
        if self._finished_us is None:
            if not all(lane.rules.finished_sending for lane in self._lanes.values()):
                raise PeerError("confirmed what was not sent yet", progress=self._where())
            self._finished_us = now_us()
            expected = (stream.stream_bytes, stream.digest.whole(stream.blocks))
            if (message.fields["stream_bytes"], message.fields["digest"]) != expected:
                raise IntegrityError("the receiver's digest of the whole is another than ours")
            for session in self._lanes:
                for _ in range(CLOSES):
                    self._control.send(closing.close(session), self._target.address)

    def _watch(self, liveness: Liveness, now: int) -> None:
        for lane in self._lanes.values():
            if lane.error is not None:
                raise lane.error
        heard = sum(lane.heard for lane in self._lanes.values())
        if heard != self._heard:
            self._heard = heard
            liveness.heard(now)
        liveness.at([(lane.rules.base, lane.rules.limit) for lane in self._lanes.values()], now)
        try:
            liveness.check(now, self._where())
        except (PeerError, StalledError) as error:
            if all(lane.rules.finished_sending for lane in self._lanes.values()):
                raise UnconfirmedError(str(error)) from error
            raise

    def _abort(self, accepted: list[Accepted], reason: str) -> None:
        if self._finished_us is None:
            for one in accepted:
                self._control.send(closing.abort(one.session, reason), self._target.address)

    # ---- what is told

    def _drained_bytes(self) -> int:
        window = next(iter(self._lanes.values())).live.slots.window
        packets = sum(lane.rules.limit - window - lane.rules.first for lane in self._lanes.values())
        return min(packets * self._payload_size, self._source.size_bytes)

    def _where(self) -> str:
        return f"{self._drained_bytes()} of {self._source.size_bytes} bytes verified by the receiver"

    def _progress(self, seconds: float) -> Progress:
        size = self._source.size_bytes
        done = size if self._finished_us is not None else self._drained_bytes()
        return Progress(done_bytes=done, total_bytes=size, seconds=seconds)

    def _finished(self, terms: Terms, transmitter: LiveTransmitter, started_us: int) -> Finished:
        assert self._finished_us is not None
        record = sender_record(
            lanes=list(self._lanes.values()),
            terms=terms,
            settings=self._settings,
            file_bytes=self._source.size_bytes,
            xdp_mode=transmitter.link.mode,
            started_us=started_us,
            finished_us=self._finished_us,
        )
        return Finished(name=self._source.name, path=None, record=record | self._usage.record())
