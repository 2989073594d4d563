# SPDX-License-Identifier: GPL-2.0-only
"""What a receiving process does: open the door, serve its transfers, tell how each ended."""

from __future__ import annotations

from pathlib import Path

from towline.delivery.xdp import XdpReceiver
from towline.errors import FileError, MalformedError, SettingsError, TowlineError, UnsupportedError
from towline.framing import ETHERNET, ethernet_frame
from towline.kernel.link import interface as find_interface
from towline.protocol import closing
from towline.protocol.opening import Door, Terms, accept, agree, reject
from towline.settings import Settings
from towline.transfer.control import Allowance, Control, Letter
from towline.transfer.events import Failed, Finished, OnEvent, Progress, Ready
from towline.transfer.files import FileSink, MemorySink, Sink
from towline.transfer.incoming import Incoming, Stage
from towline.transfer.record import receiver_record
from towline.transfer.target import format_address
from towline.transfer.usage import Usage
from towline.transmit.live import now_us
from towline.wire import Kind, Message

POLLS_PER_WINDOW = 5
FASTEST_PER_SECOND = 3e9  # bytes: how soon a window can be full
POLL_LEAST_S = 20e-6
POLL_MOST_S = 500e-6
QUIET_POLL_S = 2e-3
QUIET_S = 0.05  # without movement, before polls become rare
IDLE_POLL_S = 0.2
PROGRESS_US = 100_000
STRANGERS_PER_SECOND = 10


def receive(
    interface: str, output: Path, settings: Settings, *, keep: bool, overwrite: bool, on_event: OnEvent
) -> None:
    """Serve one transfer, or any number (`keep`), that come in through an interface; files go to folder `output`.

    Raises TowlineError when the transfer has failed; with `keep`, only what ends them all.
    """
    if settings.sink == "file" and not output.is_dir():
        raise FileError(output, "is not a folder: make it, or name another with --output")
    _Receiving(interface, output, settings, keep, overwrite, on_event).run()


class _Receiving:
    def __init__(
        self, interface: str, output: Path, settings: Settings, keep: bool, overwrite: bool, on_event: OnEvent
    ) -> None:
        self._link = find_interface(interface)
        largest = ETHERNET.largest_payload_bytes(self._link.mtu)
        if settings.payload_size is not None and settings.payload_size > largest:
            raise SettingsError(
                f"a payload of {settings.payload_size} bytes does not fit a frame of {interface} "
                f"(MTU {self._link.mtu}): at most {largest}"
            )
        self._output = output
        self._settings = settings
        self._keep = keep
        self._overwrite = overwrite
        self._on_event = on_event
        self._usage = Usage()
        self._door = Door()
        self._strangers = Allowance(STRANGERS_PER_SECOND)
        self._incoming: dict[tuple[bytes, int], Incoming] = {}  # by address and transfer number
        self._by_session: dict[int, Incoming] = {}
        self._served = False
        self._told_us = 0
        self._moved_us = 0

    def run(self) -> None:
        """Until the transfer is over, or for ever."""
        self._control = Control(self._link.name, self._link.mac)
        try:
            self._xdp = XdpReceiver(self._link, ETHERNET, self._settings)
            try:
                self._serve()
            except BaseException as error:
                for incoming in self._incoming.values():
                    if incoming.stage is Stage.RECEIVING:
                        incoming.fail(f"the receiver gave up ({str(error) or type(error).__name__})")
                raise
            finally:
                self._xdp.close()
        finally:
            self._control.close()

    def _serve(self) -> None:
        link = self._xdp.link
        self._on_event(
            Ready(
                interface=self._link.name,
                address=f"{format_address(self._link.mac)}%IF",
                mode=link.mode,
                why_not_native=link.why_not_native,
            )
        )
        while self._keep or not self._served or self._incoming:
            for letter in self._control.receive(self._poll_s()):
                self._heed(letter)
            for key, incoming in list(self._incoming.items()):
                if self._step(key, incoming):
                    self._moved_us = now_us()

    def _poll_s(self) -> float:
        """How long to wait for a message before the next look at what XDP has placed: often enough for the smallest
        window, and seldom enough to leave the CPU to others."""
        if not self._incoming:
            return IDLE_POLL_S
        if any(one.more for one in self._incoming.values()):
            return 0
        if now_us() - self._moved_us > QUIET_S * 1e6:
            return QUIET_POLL_S
        window_bytes = min(one.terms.window * one.terms.payload_size for one in self._incoming.values())
        return min(max(window_bytes / FASTEST_PER_SECOND / POLLS_PER_WINDOW, POLL_LEAST_S), POLL_MOST_S)

    def _step(self, key: tuple[bytes, int], incoming: Incoming) -> bool:
        now, before = now_us(), incoming.stage
        try:
            moved = incoming.step(now)
        except TowlineError as error:
            self._failed(key, incoming, error)
            return False
        if before is Stage.RECEIVING and incoming.stage is Stage.CONFIRMED:
            self._tell_progress(incoming, now)
            self._on_event(self._finished(incoming))
        elif incoming.stage is Stage.RECEIVING and now - self._told_us >= PROGRESS_US:
            self._told_us = now
            self._tell_progress(incoming, now)
        if incoming.stage is Stage.OVER:
            self._forget(key, incoming)
        return moved

    # ---- messages

    def _heed(self, letter: Letter) -> None:
        message = letter.message
        if message.kind is Kind.HELLO:
            self._hello(letter)
            return
        incoming = self._by_session.get(message.session)
        if incoming is None or incoming.address != letter.address:
            self._stranger(letter)
            return
        try:
            incoming.heed(message, now_us())
        except TowlineError as error:
            key = next(key for key, value in self._incoming.items() if value is incoming)
            self._failed(key, incoming, error)

    def _stranger(self, letter: Letter) -> None:
        """Whoever sends to a session that is no more should know."""
        if letter.message.kind in (Kind.DATA, Kind.FIN) and self._strangers.take():
            self._control.send(closing.abort(letter.message.session, "no such session here"), letter.address)

    def _hello(self, letter: Letter) -> None:
        hello, address = letter.message, letter.address
        try:
            retry = self._door.retry(hello, address, now_us())
        except MalformedError:
            return
        if retry is not None:
            self._control.send(retry, address)
            return
        reply = self._welcome(hello, address)
        if reply is not None:
            self._control.send(reply, address)

    def _welcome(self, hello: Message, address: bytes) -> Message | None:
        """ACCEPT or REJECT for a sender that receives at its address; None where it is to ask later."""
        key = address, hello.fields["transfer"]
        lane = hello.fields["lane"]
        incoming = self._incoming.get(key)
        if incoming is None and not self._keep and (self._served or self._incoming):
            return reject(hello, "the receiver takes one transfer only (--keep takes more), and has it")
        try:
            terms = agree(
                hello,
                largest_payload=self._xdp.largest_payload,
                window=self._settings.window_most,
                block_bytes=self._settings.block_size,
                delivery=self._settings.delivery,
            )
            if incoming is None:
                incoming = self._begin(hello, address, terms)
                self._incoming[key] = incoming
            session = next((number for number, one in incoming.lanes.items() if one.lane == lane), None)
            if session is None:
                session = self._open(incoming, lane, address)
        except (SettingsError, UnsupportedError) as error:
            return reject(hello, str(error))
        return accept(hello, session, incoming.lanes[session].first_index, incoming.terms)

    def _begin(self, hello: Message, address: bytes, terms: Terms) -> Incoming:
        sink: Sink = MemorySink()
        if self._settings.sink == "file":
            sink = FileSink(self._output, overwrite=self._overwrite)
        self._usage = Usage()
        return Incoming(
            address=address,
            lanes=hello.fields["lanes"],
            terms=terms,
            sink=sink,
            timeout_us=self._settings.timeout_s * 1_000_000,
            rtt_us=0,
            now=now_us(),
            reply=lambda message: self._control.send(message, address),
        )

    def _open(self, incoming: Incoming, lane: int, address: bytes) -> int:
        frame = ethernet_frame(self._link.mac, address)
        session, delivery = self._xdp.open(incoming.terms, frame, self._settings.first_index)
        incoming.add(session, lane, self._settings.first_index, delivery)
        self._by_session[session] = incoming
        return session

    # ---- the end

    def _failed(self, key: tuple[bytes, int], incoming: Incoming, error: TowlineError) -> None:
        incoming.fail(str(error))
        self._forget(key, incoming)
        if not self._keep:
            raise error
        self._on_event(Failed(name=incoming.name, reason=str(error)))

    def _forget(self, key: tuple[bytes, int], incoming: Incoming) -> None:
        for session in incoming.lanes:
            self._xdp.close_session(session)
            del self._by_session[session]
        del self._incoming[key]
        self._served = True

    def _tell_progress(self, incoming: Incoming, now: int) -> None:
        entry = incoming.stream.entry
        self._on_event(
            Progress(
                done_bytes=incoming.stream.file_bytes_written,
                total_bytes=entry.size_bytes if entry else None,
                seconds=(now - incoming.began_us) / 1e6,
            )
        )

    def _finished(self, incoming: Incoming) -> Finished:
        record = receiver_record(incoming, self._settings, self._xdp.link.mode)
        path = str(incoming.sink.path) if incoming.sink.path else None
        return Finished(name=incoming.name, path=path, record=record | self._usage.record())
