# SPDX-License-Identifier: GPL-2.0-only
"""`receive --persist`: what a process writes down of its transfers, and how the next one goes on from there."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from towline.delivery import Origin
from towline.delivery.pins import Pins
from towline.delivery.xdp import XdpReceiver
from towline.errors import MalformedError, TowlineError, UnsupportedError
from towline.protocol.opening import LANES_MOST, WINDOW_LEAST, Terms
from towline.settings import Settings, largest_block_bytes
from towline.sockets.port import Port
from towline.transfer.control import Control
from towline.transfer.files import FileSink, Sink
from towline.transfer.incoming import Incoming
from towline.transfer.ledger import Facts, LaneFacts, Ledger
from towline.transfer.stream import IncomingStream
from towline.transmit.lane import now_us
from towline.wire import DELIVERIES


class Keeping:
    """The Keeper of one transfer."""

    def __init__(self, pins: Pins, name: str, ledger: Ledger, facts: Facts) -> None:
        self._pins = pins
        self._name = name
        self._ledger = ledger
        self._facts = facts

    @classmethod
    def of(cls, pins: Pins, origin: Origin, transfer: int, lanes: int, terms: Terms, rtt_us: int) -> Keeping:
        """Of a transfer that begins."""
        facts = Facts(
            level=origin.level.name,
            peer=origin.peer,
            reply_to=origin.reply_to,
            ends=origin.ends,
            transfer=transfer,
            lanes=lanes,
            terms=terms,
            rtt_us=rtt_us,
        )
        ledger, name = Ledger.new(), f"transfer-{secrets.token_hex(8)}"
        ledger.write(facts)
        pins.keep(name, ledger.map)
        return cls(pins, name, ledger, facts)

    def lane(self, session: int, lane: int, first_index: int) -> None:
        """A lane has its session."""
        one = LaneFacts(session=session, lane=lane, first_index=first_index)
        self._ledger.drained(lane, first_index)
        self._note(sessions=(*self._facts.sessions, one))

    def written(self, block: int, stream: IncomingStream, sink: Sink) -> None:
        """A block stands in the partial file, or in the stream's head."""
        assert isinstance(sink, FileSink)
        if not self._facts.part:  # from then on the head does not change
            self._note(head=stream.head, part=sink.part)
        self._ledger.mark(block)

    def drained(self, lane: int, index: int) -> None:
        """A lane's packets below will not be needed again."""
        self._ledger.drained(lane, index)

    def moved(self, part: str) -> None:
        """The partial file has another name."""
        self._note(part=part)

    def end(self) -> None:
        """The transfer is over, well or badly."""
        self._pins.remove(self._name)
        self._ledger.close()

    def _note(self, **changes: object) -> None:
        self._facts = msgspec.structs.replace(self._facts, **changes)
        self._ledger.write(self._facts)


def resumed(
    pins: Pins,
    receiver: XdpReceiver,
    control: Control,
    folder: Path,
    settings: Settings,
    *,
    overwrite: bool,
    on_problem: Callable[[str], None],
) -> Iterator[tuple[Facts, Incoming, Keeping]]:
    """The transfers that a predecessor has left, as they go on; what is not as it should be is told, and dropped."""
    for name in pins.names():
        try:
            ledger = Ledger(pins.map(name))
        except (MalformedError, FileNotFoundError, ValueError) as error:
            pins.remove(name)
            on_problem(f"what was pinned as {name} is dropped: {error}")
            continue
        sink = FileSink(folder, overwrite=overwrite)
        try:
            facts = ledger.read_untrusted()
            incoming, keeping = _resume(pins, name, ledger, facts, sink, receiver, control, settings)
        except (TowlineError, ValueError) as error:
            sink.discard()
            pins.remove(name)
            ledger.close()
            on_problem(f"a transfer that was left cannot go on: {error}")
            continue
        yield facts, incoming, keeping
    receiver.forget_others()


def _resume(
    pins: Pins,
    name: str,
    ledger: Ledger,
    facts: Facts,
    sink: FileSink,
    receiver: XdpReceiver,
    control: Control,
    settings: Settings,
) -> tuple[Incoming, Keeping]:
    terms = _checked(facts, settings)
    port = _port_of(facts, control)
    keeping = Keeping(pins, name, ledger, facts)
    incoming = Incoming(
        peer=facts.peer,
        lanes=facts.lanes,
        terms=terms,
        sink=sink,
        timeout_us=settings.timeout_s * 1_000_000,
        stalled_us=settings.stalled_us,
        rtt_us=facts.rtt_us,
        now=now_us(),
        reply=lambda message: control.send(port, message, facts.reply_to),
        keeper=keeping,
    )
    incoming.stream.resume(facts.head, ledger.written().tolist(), sink, facts.part)
    for one in facts.sessions:
        drained = ledger.drained_of(one.lane)
        if drained < one.first_index:
            raise MalformedError("a lane that was left before it began")
        delivery = receiver.resume(one.session, terms, drained)
        incoming.resume(one.session, one.lane, one.first_index, drained, delivery)
    if facts.part:
        keeping.moved(sink.part)
    return incoming, keeping


def _checked(facts: Facts, settings: Settings) -> Terms:
    """Terms that we might have granted ourselves. Raises MalformedError."""
    terms, sessions = facts.terms, facts.sessions
    numbers = [one.lane for one in sessions]
    sound = (
        terms.delivery in DELIVERIES
        and WINDOW_LEAST <= terms.window <= settings.window_most
        and terms.window & (terms.window - 1) == 0
        and terms.payload_size >= 1
        and 1 <= terms.block_bytes <= largest_block_bytes(terms.window, terms.payload_size)
        and 1 <= terms.ack_every <= terms.window
        and 1 <= facts.lanes <= LANES_MOST
        and len(set(numbers)) == len(numbers)
        and all(0 <= number < facts.lanes for number in numbers)
        and facts.rtt_us >= 0
    )
    if not sound:
        raise MalformedError("pinned facts that nobody would have granted")
    return terms


def _port_of(facts: Facts, control: Control) -> Port:
    for inbox in control.inboxes:
        if inbox.port.level.name == facts.level:
            return inbox.port
    raise UnsupportedError("going on with a transfer", f"level {facts.level}, which is not served now")
