# SPDX-License-Identifier: GPL-2.0-only
"""What a receiving process does: open the door, serve its transfers, tell how each ended."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

from towline.delivery import Origin
from towline.delivery.pins import Pins
from towline.delivery.socket import SocketDelivery
from towline.delivery.xdp import XdpReceiver
from towline.errors import FileError, Interrupted, MalformedError, SettingsError, TowlineError, UnsupportedError
from towline.kernel.link import interface as find_interface
from towline.protocol import closing
from towline.protocol.opening import Door, Terms, accept, agree, handshake_rtt_us, reject
from towline.protocol.trial import Movement
from towline.settings import Settings
from towline.sockets.inbox import Letter, is_same
from towline.sockets.port import Peer, Port
from towline.transfer.control import Allowance, Control
from towline.transfer.events import Failed, Finished, Note, OnEvent, Parted, Progress, Ready
from towline.transfer.files import FileSink, MemorySink, Sink
from towline.transfer.incoming import Incoming, Stage
from towline.transfer.persist.keeping import Keeping
from towline.transfer.persist.resumption import Left, Resumption, left_untrusted, require_folder
from towline.transfer.reach import name_of, origin_of
from towline.transfer.receivers import open_ports, open_receiver, targets_at
from towline.transfer.record import receiver_record
from towline.transfer.sampling import PROGRESS_US, SAMPLE_US, Ticks, receiver_sample
from towline.transfer.usage import Usage
from towline.transfer.watchdog import Watchdog
from towline.transmit.lane import now_us
from towline.wire import Kind, Message

POLLS_PER_WINDOW = 5
FASTEST_PER_SECOND = 3e9  # bytes: how soon a window can be full
POLL_LEAST_S = 20e-6
POLL_MOST_S = 500e-6
QUIET_POLL_S = 2e-3
QUIET_S = 0.05  # without movement, before polls become rare
IDLE_POLL_S = 0.2
STRANGERS_PER_SECOND = 10


def receive(
    interface: str,
    output: Path,
    settings: Settings,
    *,
    keep: bool,
    overwrite: bool,
    on_event: OnEvent,
    persist: bool = False,
) -> None:
    """Serve one transfer, or any number (`keep`), that come in through an interface; files go to folder `output`.

    `persist`: where this process is killed, the kernel goes on receiving, and the next one takes over.
    Raises TowlineError when the transfer has failed; with `keep`, only what ends them all.
    """
    if persist and (settings.datapath_receiver != "ebpf" or settings.sink != "file"):
        raise SettingsError("--persist needs XDP at the receiver, and files: --datapath ebpf and --sink file")
    if settings.sink == "file" and not output.is_dir():
        raise FileError(output, "is not a folder: make it, or name another with --output")
    _Receiving(interface, output, settings, keep, overwrite, on_event, persist).run()


class _Receiving:
    def __init__(
        self,
        interface: str,
        output: Path,
        settings: Settings,
        keep: bool,
        overwrite: bool,
        on_event: OnEvent,
        persist: bool,
    ) -> None:
        self._link = find_interface(interface)
        self._output = output
        self._settings = settings
        self._keep = keep
        self._overwrite = overwrite
        self._on_event = on_event
        self._pins = Pins.of(self._link) if persist else None
        self._usage = Usage()
        self._door = Door()
        self._strangers = Allowance(STRANGERS_PER_SECOND)
        self._incoming: dict[tuple[Peer, int], Incoming] = {}  # by whom to answer and transfer number
        self._by_session: dict[int, Incoming] = {}
        self._kept: dict[tuple[Peer, int], Keeping] = {}
        self._served = False
        self._samples, self._progress = Ticks(SAMPLE_US), Ticks(PROGRESS_US)
        self._moved_us = 0

    def run(self) -> None:
        """Until the transfer is over, or for ever."""
        if self._pins is None:
            self._listen([])
            return
        self._pins.claim()
        try:
            left = left_untrusted(self._pins, self._tell_problem)
            require_folder(left, self._output)
            self._listen(left)
        finally:
            self._pins.release()

    def _listen(self, left: list[Left]) -> None:
        """`left`: what a predecessor has left, to go on with."""
        ports, notes = open_ports(self._link, self._settings)
        self._control = Control(ports)
        try:
            self._receiver = open_receiver(self._link, self._control, self._settings, notes, self._pins)
            self._take_over(left)
            self._watchdog = Watchdog(self._receiver, "receiver", self._on_event, now_us())
            end = self._receiver.close
            try:
                self._serve(ports)
            except BaseException as error:
                if isinstance(self._receiver, XdpReceiver) and self._is_to_go_on(error):
                    end = self._receiver.leave
                    self._tell_problem("the kernel goes on receiving: the same command, given again, takes over")
                else:
                    self._give_up(str(error) or type(error).__name__)
                raise
            finally:
                self._watchdog.close()
                end()
        finally:
            self._control.close()

    def _is_to_go_on(self, error: BaseException) -> bool:
        """Whether another process is to go on with what has begun: Ctrl-C gives up, and other signals do not say so, as
        they come when a terminal closes or a machine's services stop.
        """
        return (
            self._pins is not None
            and isinstance(error, Interrupted)
            and error.number != signal.SIGINT
            and any(incoming.stage is not Stage.OVER for incoming in self._incoming.values())
        )

    def _give_up(self, why: str) -> None:
        for incoming in self._incoming.values():
            if incoming.stage is Stage.RECEIVING:
                incoming.fail(f"the receiver gave up ({why})")

    def _take_over(self, left: list[Left]) -> None:
        """Go on with what a predecessor has left; whatever ends us here leaves it for the next one."""
        if self._pins is None:
            return
        assert isinstance(self._receiver, XdpReceiver)
        try:
            resumption = Resumption(
                self._pins,
                self._receiver,
                self._control,
                self._output,
                self._settings,
                overwrite=self._overwrite,
            )
            for facts, incoming, keeping in resumption.go_on(left, self._tell_problem):
                key = facts.reply_to, facts.transfer
                self._incoming[key], self._kept[key] = incoming, keeping
                self._by_session |= dict.fromkeys(incoming.lanes, incoming)
                self._on_event(Note(text=f"going on with {incoming.name}: {incoming.progress()}"))
                if incoming.stage is Stage.CONFIRMED:
                    self._on_event(self._finished(incoming))
        except BaseException:
            self._receiver.leave()
            raise

    def _tell_problem(self, text: str) -> None:
        self._on_event(Note(text=text))

    def _serve(self, ports: list[Port]) -> None:
        self._on_event(
            Ready(
                interface=self._link.name,
                targets=targets_at(self._link, ports),
                levels=tuple(port.level.name for port in ports),
                mode=self._receiver.xdp_mode,
                notes=self._receiver.notes,
            )
        )
        while self._keep or not self._served or self._incoming:
            for letter in self._control.receive(self._poll_s()):
                self._heed(letter)
            self._tell(now_us())  # before the rings are emptied
            self._watchdog.look(self._progressed(), now_us())
            for key, incoming in list(self._incoming.items()):
                if self._step(key, incoming):
                    self._moved_us = now_us()

    def _progressed(self) -> Movement | None:
        """How far the transfers are that go on; None where there is none.

        What has been seen postpones a program's end: on a slow path a block takes longer than a transfer may stand
        still. It proves nothing, and is never more than a window ahead of what does.
        """
        going_on = [one for one in self._incoming.values() if one.stage is Stage.RECEIVING and not one.has_all]
        lanes = [lane for one in going_on for lane in one.lanes.values()]
        if not lanes:
            return None
        return Movement(
            mark=sum(lane.rules.drained + lane.delivery.highest for lane in lanes),
            carried=sum(lane.rules.drained - lane.rules.first for lane in lanes),
            window=sum(one.terms.window * len(one.lanes) for one in going_on),
        )

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

    def _step(self, key: tuple[Peer, int], incoming: Incoming) -> bool:
        now, before = now_us(), incoming.stage
        try:
            moved = incoming.step(now)
        except TowlineError as error:
            self._failed(key, incoming, error)
            return False
        if before is Stage.RECEIVING and incoming.stage is Stage.CONFIRMED:
            self._on_event(receiver_sample(incoming, now_us(), self._watchdog.version))
            self._tell_progress(incoming, now)
            self._on_event(self._finished(incoming))
        if incoming.stage is Stage.OVER:
            incoming.count()
            self._on_event(Parted(name=incoming.name, record=self._record(incoming)))
            self._forget(key, incoming)
        return moved

    # ---- messages

    def _heed(self, letter: Letter) -> None:
        message = letter.message
        if message.kind is Kind.HELLO:
            self._hello(letter)
            return
        incoming = self._by_session.get(message.session)
        if incoming is None or not is_same(letter.peer, incoming.peer):
            self._stranger(letter)
            return
        try:
            incoming.heed(message, now_us())
        except TowlineError as error:
            key = next(key for key, value in self._incoming.items() if value is incoming)
            self._failed(key, incoming, error)

    def _stranger(self, letter: Letter) -> None:
        """Whoever sends to a session that is no more should know."""
        if letter.message.kind in (Kind.DATA, Kind.FIN) and letter.peer is not None and self._strangers.take():
            self._control.send(letter.port, closing.abort(letter.message.session, "no such session here"), letter.peer)

    def _hello(self, letter: Letter) -> None:
        hello = letter.message
        origin = origin_of(letter, self._link, self._settings.port)
        try:
            reply = self._door.retry(hello, name_of(origin.reply_to), now_us()) or self._welcome(hello, origin)
        except MalformedError:
            return
        if reply is not None:
            self._control.send(origin.port, reply, origin.reply_to)

    def _welcome(self, hello: Message, origin: Origin) -> Message | None:
        """ACCEPT or REJECT for a sender that receives at its address; None where it is to ask later."""
        key = origin.reply_to, hello.fields["transfer"]
        lane = hello.fields["lane"]
        incoming = self._incoming.get(key)
        if incoming is None and not self._keep and (self._served or self._incoming):
            return reject(hello, "the receiver takes one transfer only (--keep takes more), and has it")
        settings = self._settings
        try:
            terms = agree(
                hello,
                largest_payload=origin.level.largest_payload_bytes(self._link.mtu),
                window=settings.window_most,
                block_bytes=settings.block_size,
                delivery=settings.delivery or "direct",
            )
            if incoming is None:
                incoming = self._begin(hello, origin, terms)
                self._incoming[key] = incoming
            session = next((number for number, one in incoming.lanes.items() if one.lane == lane), None)
            if session is None:
                session = self._open(incoming, lane, origin)
        except (SettingsError, UnsupportedError) as error:
            return reject(hello, str(error))
        return accept(hello, session, incoming.lanes[session].first_index, incoming.terms)

    def _begin(self, hello: Message, origin: Origin, terms: Terms) -> Incoming:
        self._usage = Usage()
        rtt_us, keeper = handshake_rtt_us(hello, now_us()), None
        if self._pins:
            transfer, lanes = hello.fields["transfer"], hello.fields["lanes"]
            keeper = Keeping.of(self._pins, self._output, origin, transfer, lanes, terms, rtt_us)
            self._kept[origin.reply_to, transfer] = keeper
        sink: Sink = MemorySink()
        if self._settings.sink == "file":
            kept = keeper.facts.part if keeper else ""
            sink = FileSink(self._output, overwrite=self._overwrite, kept=kept)
        return Incoming(
            peer=origin.peer,
            lanes=hello.fields["lanes"],
            terms=terms,
            sink=sink,
            timeout_us=self._settings.timeout_s * 1_000_000,
            stalled_us=self._settings.stalled_us,
            rtt_us=rtt_us,
            now=now_us(),
            reply=lambda message: self._control.send(origin.port, message, origin.reply_to),
            keeper=keeper,
        )

    def _open(self, incoming: Incoming, lane: int, origin: Origin) -> int:
        session, delivery = self._receiver.open(incoming.terms, origin, self._settings.first_index, incoming.rtt_us)
        incoming.add(session, lane, self._settings.first_index, delivery)
        self._by_session[session] = incoming
        return session

    # ---- the end

    def _failed(self, key: tuple[Peer, int], incoming: Incoming, error: TowlineError) -> None:
        incoming.fail(str(error))
        self._forget(key, incoming)
        if not self._keep:
            raise error
        self._on_event(Failed(name=incoming.name, reason=str(error)))

    def _forget(self, key: tuple[Peer, int], incoming: Incoming) -> None:
        for session in incoming.lanes:
            self._receiver.close_session(session)
            del self._by_session[session]
        if keeping := self._kept.pop(key, None):
            keeping.end()
        del self._incoming[key]
        self._served = True

    def _tell(self, now: int) -> None:
        """What is due, of every transfer that goes on."""
        going_on = [one for one in self._incoming.values() if one.stage is Stage.RECEIVING]
        if going_on and self._samples.due(now):
            for incoming in going_on:
                self._on_event(receiver_sample(incoming, now, self._watchdog.version))
        if going_on and self._progress.due(now):
            for incoming in going_on:
                self._tell_progress(incoming, now)

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
        path = str(incoming.sink.path) if incoming.sink.path else None
        return Finished(name=incoming.name, path=path, record=self._record(incoming) | self._usage.record())

    def _record(self, incoming: Incoming) -> dict[str, Any]:
        by_socket = any(isinstance(lane.delivery, SocketDelivery) for lane in incoming.lanes.values())
        # Of several transfers at a time nobody counts whose message it was.
        sent = None if self._keep else self._control.sent
        return receiver_record(incoming, self._settings, None if by_socket else self._receiver, sent)
