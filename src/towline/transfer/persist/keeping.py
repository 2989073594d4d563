# SPDX-License-Identifier: GPL-2.0-only
"""What a process writes down of a transfer, so that another one can go on with it."""

from __future__ import annotations

import secrets
from pathlib import Path

import msgspec

from towline.delivery import Origin
from towline.delivery.pins import Pins
from towline.protocol.opening import Terms
from towline.transfer.files import FileSink, Sink
from towline.transfer.parts import kept_part
from towline.transfer.persist.ledger import Blocks, Facts, LaneFacts, Ledger
from towline.transfer.stream import IncomingStream

TRANSFER, BLOCKS = "transfer-", "blocks-"  # what is pinned of each is called so, and by a number of its own


class Keeping:
    """Of one transfer: each is called after what it tells of is true."""

    def __init__(self, pins: Pins, number: str, ledger: Ledger, facts: Facts) -> None:
        self._pins = pins
        self._number = number
        self._ledger = ledger
        self._blocks: Blocks | None = None  # from the file's entry on
        self.facts = facts

    @classmethod
    def of(
        cls, pins: Pins, folder: Path, origin: Origin, transfer: int, lanes: int, terms: Terms, rtt_us: int
    ) -> Keeping:
        """Of a transfer that begins."""
        facts = Facts(
            level=origin.level.name,
            peer=origin.peer,
            reply_to=origin.reply_to,
            transfer=transfer,
            lanes=lanes,
            terms=terms,
            rtt_us=rtt_us,
            folder=str(folder.resolve()),
            part=kept_part(),
        )
        ledger, number = Ledger.new(), secrets.token_hex(8)
        ledger.write(facts)
        pins.keep(TRANSFER + number, ledger.map)
        return cls(pins, number, ledger, facts)

    def go_on(self, blocks: Blocks) -> None:
        """What a predecessor has written of its blocks."""
        self._blocks = blocks

    def lane(self, session: int, lane: int, first_index: int) -> None:
        """A lane has its session."""
        one = LaneFacts(session=session, lane=lane, first_index=first_index)
        self._ledger.drained(lane, first_index)
        self._note(sessions=(*self.facts.sessions, one))

    def written(self, block: int, digest: bytes, stream: IncomingStream, sink: Sink) -> None:
        """A block stands in the partial file, or in the stream's head."""
        if self._blocks is None:
            if stream.entry is None:
                self._note(head=stream.head)
                return
            assert isinstance(sink, FileSink)
            blocks, name = Blocks.new(stream.blocks), BLOCKS + self._number
            self._pins.remove(name)  # by one who was killed before the next line
            self._pins.keep(name, blocks.map)
            self._note(head=stream.head, inode=sink.inode())
            self._blocks = blocks
        self._blocks.mark(block, digest)

    def drained(self, lane: int, index: int) -> None:
        """A lane's packets below will not be needed again."""
        self._ledger.drained(lane, index)

    def ending(self, session: int, packets: int, stream_bytes: int) -> None:
        """FIN has said how long a lane and the stream are."""
        sessions = tuple(
            msgspec.structs.replace(one, packets=packets) if one.session == session else one
            for one in self.facts.sessions
        )
        if (sessions, stream_bytes) != (self.facts.sessions, self.facts.stream_bytes):
            self._note(sessions=sessions, stream_bytes=stream_bytes)

    def complete(self, digest: bytes) -> None:
        """All of the stream is there; next the file appears under its name."""
        self._note(digest=digest)

    def end(self) -> None:
        """The transfer is over, well or badly."""
        for name in (TRANSFER, BLOCKS):
            self._pins.remove(name + self._number)
        self.close()

    def close(self) -> None:
        """Let go of what stays for another process."""
        self._ledger.close()
        if self._blocks:
            self._blocks.close()

    def _note(self, **changes: object) -> None:
        self.facts = msgspec.structs.replace(self.facts, **changes)
        self._ledger.write(self.facts)
