# SPDX-License-Identifier: GPL-2.0-only
"""Control messages over ordinary sockets, from HELLO to ABORT: the same on both datapaths and at every level."""

from __future__ import annotations

import selectors
import threading
import time
from contextlib import ExitStack, closing

from towline.sockets.inbox import Inbox, Letter
from towline.sockets.packet_flow import PacketExit
from towline.sockets.port import Peer, Port
from towline.wire import Message, encode

BATCHES_MOST = 64  # taken in a row before a receiver looks at what they were
QUEUE_POLL_S = 1e-3


class Control:
    """One inbox per port. Many threads may send, one receives."""

    def __init__(self, ports: list[Port]) -> None:
        self.inboxes = [Inbox(port) for port in ports]
        self.others_pump = False  # lanes take from the ports: here one waits for letters only
        self.sent = 0  # messages; a queue that was full may have swallowed some
        self._sending = threading.Lock()
        self._held = ExitStack()
        self._selector = self._held.enter_context(selectors.DefaultSelector())
        for inbox in self.inboxes:
            self._held.enter_context(closing(inbox.port))
            self._selector.register(inbox.port.fileno(), selectors.EVENT_READ, inbox)

    def inbox_of(self, port: Port) -> Inbox:
        """The inbox at a port."""
        return next(inbox for inbox in self.inboxes if inbox.port is port)

    def receive(self, timeout_s: float) -> list[Letter]:
        """The letters that are there, malformed ones left out; waits at most that long for something to come."""
        if self.others_pump:
            return self._wait_for_letters(timeout_s)
        for key, _ in self._selector.select(timeout_s):
            for _ in range(BATCHES_MOST):
                if not key.data.pump():
                    break
        return self._letters()

    def send(self, port: Port, message: Message, peer: Peer) -> None:
        """Send a message; a full queue drops it, as the path might, and so does a pulled cable."""
        port.send(encode(message), peer)
        with self._sending:  # of many threads
            self.sent += 1

    @property
    def malformed(self) -> int:
        """Packets that were no messages."""
        return sum(inbox.malformed for inbox in self.inboxes)

    def close(self) -> None:
        """Close the ports, and what else was opened for the transfer."""
        self._held.close()

    def hold(self, opened: PacketExit) -> None:
        """A socket that is closed with the ports."""
        self._held.enter_context(closing(opened))

    def _wait_for_letters(self, timeout_s: float) -> list[Letter]:
        deadline = time.monotonic() + timeout_s
        while not (letters := self._letters()) and time.monotonic() < deadline:
            time.sleep(QUEUE_POLL_S)
        return letters

    def _letters(self) -> list[Letter]:
        found = []
        for inbox in self.inboxes:
            while inbox.letters:
                found.append(inbox.letters.popleft())
        return found


class Allowance:
    """At most so many answers a second to those who are nobody here."""

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._left = float(per_second)
        self._at = time.monotonic()

    def take(self) -> bool:
        """Whether one more is allowed now."""
        now = time.monotonic()
        self._left = min(self._per_second, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
