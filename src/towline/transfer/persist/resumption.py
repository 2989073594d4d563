# SPDX-License-Identifier: GPL-2.0-only
"""How a process goes on with the transfers that another one has left, killed at any moment; or removes them.

The transfers only: the program that receives them meanwhile is taken over by `delivery/takeover.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from towline.delivery.pins import Pins, abandoned
from towline.delivery.xdp import XdpReceiver
from towline.errors import MalformedError, UnsupportedError
from towline.framing import LEVELS
from towline.protocol.opening import Terms
from towline.settings import LANES_MOST, WINDOW_LEAST, Settings, largest_block_bytes
from towline.sockets.port import Peer, Port
from towline.transfer.control import Control
from towline.transfer.files import FileSink
from towline.transfer.incoming import Incoming
from towline.transfer.parts import remove_kept
from towline.transfer.persist.keeping import BLOCKS, TRANSFER, Keeping
from towline.transfer.persist.ledger import Blocks, Facts, Ledger
from towline.transfer.persist.recheck import Recheck
from towline.transmit.lane import now_us
from towline.wire import DELIVERIES

_DRAINED_MOST = 1 << 48
_RTT_MOST_US = 60_000_000


@dataclass(frozen=True, kw_only=True)
class Left:
    """A transfer that was left, as its facts say; nothing of it is believed yet."""

    number: str
    ledger: Ledger
    facts: Facts


def left_untrusted(pins: Pins, on_problem: Callable[[str], None]) -> list[Left]:
    """All of them; what is no transfer is told, and dropped."""
    found = []
    for name in pins.names(TRANSFER):
        number = name.removeprefix(TRANSFER)
        try:
            ledger = Ledger(pins.map(name))
            try:
                found.append(Left(number=number, ledger=ledger, facts=ledger.read_untrusted()))
            except MalformedError:
                ledger.close()
                raise
        except (MalformedError, OSError) as error:
            for start in (TRANSFER, BLOCKS):
                pins.remove(start + number)
            on_problem(f"what was pinned as {name} is dropped: {error}")
    return found


def require_folder(left: list[Left], folder: Path) -> None:
    """Raises UnsupportedError where a transfer was begun in another one: its partial file is there."""
    for one in left:
        if one.facts.folder != str(folder.resolve()):
            raise UnsupportedError(
                "taking over what is pinned",
                f"the folder that it was begun in: say --output {one.facts.folder}, or remove it with"
                " `towline kernel clean`",
            )


class Resumption:
    """Goes on with what was left, on the program's memory that it was left in."""

    def __init__(
        self, pins: Pins, receiver: XdpReceiver, control: Control, folder: Path, settings: Settings, *, overwrite: bool
    ) -> None:
        self._pins = pins
        self._receiver = receiver
        self._control = control
        self._folder = folder
        self._settings = settings
        self._overwrite = overwrite

    def go_on(self, left: list[Left], on_problem: Callable[[str], None]) -> Iterator[tuple[Facts, Incoming, Keeping]]:
        """The transfers as they go on; one that cannot is told, and dropped: that costs the others nothing."""
        known: set[tuple[Peer, int]] = set()
        for one in left:
            before = {session.session for session in one.facts.sessions if self._receiver.has(session.session)}
            keeping = Keeping(self._pins, one.number, one.ledger, one.facts)
            sink = FileSink(self._folder, overwrite=self._overwrite, kept=one.facts.part)
            try:
                key = one.facts.reply_to, one.facts.transfer
                if key in known:
                    raise MalformedError("a transfer that was left twice")
                incoming = self._resume(one, keeping, sink)
            except Exception as error:
                for session in {session.session for session in one.facts.sessions} - before:
                    if self._receiver.has(session):
                        self._receiver.close_session(session)
                sink.discard()
                remove_kept(self._folder, one.facts.part)
                keeping.end()
                on_problem(f"a transfer that was left cannot go on: {str(error) or type(error).__name__}")
                continue
            known.add(key)
            yield one.facts, incoming, keeping
        self._receiver.forget_others()
        self._receiver.recover()  # a lock that the process's own program held when it was killed

    def _resume(self, left: Left, keeping: Keeping, sink: FileSink) -> Incoming:
        facts = left.facts
        terms, port = _checked(facts, self._settings), self._port_of(facts)
        incoming = Incoming(
            peer=facts.peer,
            lanes=facts.lanes,
            terms=terms,
            sink=sink,
            timeout_us=self._settings.timeout_s * 1_000_000,
            stalled_us=self._settings.stalled_us,
            rtt_us=facts.rtt_us,
            now=now_us(),
            reply=lambda message: self._control.send(port, message, facts.reply_to),
            keeper=keeping,
        )
        stream = incoming.stream
        stream.resume_head(facts.head)
        is_finished = False
        written: list[tuple[int, bytes]] = []
        if entry := stream.entry:
            if facts.inode is None:
                raise MalformedError("a partial file that was begun without its number")
            is_finished = not sink.open_again(entry.name, entry.mode, entry.mtime_ns, facts.inode)
            blocks = Blocks(self._pins.map(BLOCKS + left.number), stream.blocks)
            keeping.go_on(blocks)
            written = list(blocks.marked())
            stream.resume(written)
        for one in facts.sessions:
            drained = left.ledger.drained_of(one.lane)
            if not 0 <= drained - one.first_index < _DRAINED_MOST:
                raise MalformedError("a lane that was left before it began, or beyond any end")
            incoming.resume(one, drained, facts.stream_bytes, self._receiver.resume(one.session, terms, drained))
        if is_finished:
            incoming.resume_confirmed(facts.digest, now_us())
        elif stream.entry:
            incoming.recheck = Recheck(sink.descriptor(), stream, written)
        return incoming

    def _port_of(self, facts: Facts) -> Port:
        for inbox in self._control.inboxes:
            if inbox.port.level.name == facts.level:
                return inbox.port
        raise UnsupportedError("going on with a transfer", f"level {facts.level}, which is not served now")


def clean() -> list[Path]:
    """Remove what killed receivers have left on this machine, pins and partial files: what was removed."""
    gone = []
    for pins in abandoned():
        for one in left_untrusted(pins, lambda _: None):
            remove_kept(Path(one.facts.folder), one.facts.part)
            one.ledger.close()
        pins.remove_all()
        gone.append(pins.folder)
    return gone


def _checked(facts: Facts, settings: Settings) -> Terms:
    """Terms that we might have granted ourselves, to somebody who might have asked. Raises MalformedError."""
    terms, sessions = facts.terms, facts.sessions
    numbers = [one.lane for one in sessions]
    sound = (
        terms.delivery in DELIVERIES
        and facts.level in LEVELS
        and WINDOW_LEAST <= terms.window <= settings.window_most
        and terms.window & (terms.window - 1) == 0
        and terms.payload_size >= 1
        and 1 <= terms.block_bytes <= largest_block_bytes(terms.window, terms.payload_size)
        and 1 <= terms.ack_every <= terms.window
        and 1 <= facts.lanes <= LANES_MOST
        and len(set(numbers)) == len(numbers)
        and all(0 <= number < facts.lanes for number in numbers)
        and 0 <= facts.rtt_us <= _RTT_MOST_US
        and all(_is_peer(one) for one in (facts.peer, facts.reply_to) if one)
    )
    if not sound:
        raise MalformedError("pinned facts that nobody would have granted")
    return terms


def _is_peer(peer: Peer) -> bool:
    """Whether a socket could have named it."""
    return (
        len(peer.mac) in (0, 6)
        and len(peer.address) in (0, 4, 16)
        and len(peer.local) in (0, 4, 16)
        and 0 <= peer.port < 1 << 16
        and 0 <= peer.scope < 1 << 31
    )
