# SPDX-License-Identifier: GPL-2.0-only
"""What comes in at a port: the data plane's packets go to their sessions in batches, the rest are letters."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from towline.errors import MalformedError
from towline.sockets.port import Batch, Peer, Port
from towline.wire import HEADER_BYTES, Kind, Message, decode_untrusted

Take = Callable[[NDArray[np.uint8], NDArray[np.int64]], None]  # packets (n, width), lengths (n,)


@dataclass(frozen=True, kw_only=True)
class Letter:
    """A message, the port it came in at, and whom it is from; `peer` is None where frames name no source."""

    message: Message
    port: Port
    peer: Peer | None


def is_same(peer: Peer | None, expected: Peer | None) -> bool:
    """Whether a packet is from whom it should be, as far as its frame tells; None where frames name no source."""
    if peer is None or expected is None:
        return True
    if peer.address:
        return (peer.address, peer.port) == (expected.address, expected.port)
    return peer.mac == expected.mac


class Inbox:
    """Any thread may call `pump`; what `register`ed sessions get, they get in that thread, one at a time."""

    def __init__(self, port: Port) -> None:
        self.port = port
        self.letters: deque[Letter] = deque()
        self.malformed = 0
        self._lock = threading.Lock()
        self._plane: Kind | None = None
        self._sessions: dict[int, tuple[Peer | None, Take]] = {}

    def register(self, session: int, plane: Kind, peer: Peer | None, take: Take) -> None:
        """Packets of this session and kind, from that peer, go to `take` from here on (all sessions: one kind)."""
        with self._lock:
            self._plane = plane
            self._sessions[session] = (peer, take)

    def forget(self, session: int) -> None:
        """The session's packets are letters from here on."""
        with self._lock:
            del self._sessions[session]

    def pump(self) -> bool:
        """Take one batch from the port; False: nothing was there, or another thread is at it."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            batch = self.port.receive()
            if batch is None:
                return False
            self._distribute(batch)
            return True
        finally:
            self._lock.release()

    def _distribute(self, batch: Batch) -> None:
        packets, lengths = batch.packets, batch.lengths
        if not self._sessions:
            self._read(batch, np.arange(len(lengths)))
            return
        whole = lengths >= HEADER_BYTES
        mine = whole & (packets[:, 1] >> 4 == self._plane)
        sessions = np.ascontiguousarray(packets[:, 4:12]).view(">u8")[:, 0]
        for session in np.unique(sessions[mine]).tolist():
            rows = mine & (sessions == session)
            known = self._sessions.get(session)
            first = int(rows.argmax())
            if known is None or not is_same(batch.peer(first), known[0]):
                mine &= ~rows
            elif rows.all():
                known[1](packets, lengths)
            else:
                known[1](packets[rows], lengths[rows])
        if not mine.all():
            self._read(batch, np.flatnonzero(~mine))

    def _read(self, batch: Batch, rows: NDArray[np.int64]) -> None:
        """Messages between processes: few, one at a time."""
        for row in rows.tolist():
            packet = batch.packets[row, : int(batch.lengths[row])].tobytes()
            try:
                message = decode_untrusted(packet)
            except MalformedError:
                self.malformed += 1
                continue
            self.letters.append(Letter(message=message, port=self.port, peer=batch.peer(row)))
