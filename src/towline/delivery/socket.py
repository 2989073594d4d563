# SPDX-License-Identifier: GPL-2.0-only
"""The receiver's half without eBPF: packets come in at sockets, and are placed and acknowledged in batches here."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from towline.delivery import Delivery, Origin
from towline.delivery.session import new_session
from towline.errors import UnsupportedError
from towline.kernel.attach import Link
from towline.kernel.identity import Identity
from towline.protocol.opening import Terms
from towline.protocol.placement import Placement
from towline.slots import Slots
from towline.sockets.inbox import Inbox
from towline.sockets.port import Port
from towline.wire import Kind

SESSIONS_MOST = 64
ACKS_MOST = 1024  # that leave by one call
ACK_BYTES_MOST = 2048


class SocketDelivery(Placement):
    """One lane's: what the inbox hands over stands in its slot when `take` returns."""

    def collect(self) -> bool:
        """Nothing to do: it stands where it belongs."""
        return False


class SocketReceiver:
    """`inbox_of(port)` is where that port's packets come in."""

    xdp_mode: str | None = None
    program: int | None = None
    identity: Identity | None = None
    link: Link | None = None

    def __init__(self, inbox_of: Callable[[Port], Inbox], *, notes: tuple[str, ...] = ()) -> None:
        self.notes = notes
        self._inbox_of = inbox_of
        self._open: dict[int, Inbox] = {}

    def open(self, terms: Terms, origin: Origin, first_index: int, rtt_us: int) -> tuple[int, Delivery]:
        """A session with its memory."""
        if len(self._open) >= SESSIONS_MOST:
            raise UnsupportedError("one more session", f"one of {SESSIONS_MOST} here to end")
        session = new_session(len(self._open))
        memory = np.zeros(terms.window * terms.payload_size, np.uint8)
        delivery = SocketDelivery(
            session=session,
            window=terms.window,
            payload_size=terms.payload_size,
            ack_every=terms.ack_every,
            slots=Slots(memory, window=terms.window, payload_size=terms.payload_size),
            first_index=first_index,
        )
        flow = origin.port.flow(origin.reply_to, ACKS_MOST, ACK_BYTES_MOST, ends=origin.ends.turned())

        def take(packets: NDArray[np.uint8], lengths: NDArray[np.int64]) -> None:
            acks = delivery.take(packets, lengths)
            for at in range(0, len(acks) if acks is not None else 0, ACKS_MOST):
                assert acks is not None
                some = acks[at : at + ACKS_MOST]
                flow.packets[: len(some), : some.shape[1]] = some
                flow.send(len(some), some.shape[1])  # one that does not leave is lost: a later one says more

        inbox = self._inbox_of(origin.port)
        inbox.register(session, Kind.DATA, origin.peer, take)
        self._open[session] = inbox
        return session, delivery

    def close_session(self, session: int) -> None:
        """The session's packets are strangers' from here on; its memory goes."""
        self._open.pop(session).forget(session)

    def recover(self) -> None:
        """Nothing to do: no program can be replaced here."""

    def close(self) -> None:
        """Everything goes."""
        for session in list(self._open):
            self.close_session(session)
