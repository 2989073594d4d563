# SPDX-License-Identifier: GPL-2.0-only
"""The sender's half without eBPF: packets leave through a socket, and acknowledgements come in at one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from towline.kernel.attach import Link
from towline.kernel.identity import Identity
from towline.protocol.acknowledgement import AcknowledgementState
from towline.protocol.opening import Accepted
from towline.slots import Slots
from towline.sockets.inbox import Inbox
from towline.sockets.port import Peer
from towline.transmit.acknowledgements import SocketAcknowledgements
from towline.transmit.lane import Bursts, TransmitLane, now_us
from towline.wire import Kind


class SocketTransmitter:
    """One lane per session. `bursts(number, slots)` makes what sends."""

    xdp_mode: str | None = None
    program: int | None = None
    identity: Identity | None = None
    link: Link | None = None

    def __init__(
        self,
        accepted: list[Accepted],
        inbox: Inbox,
        peer: Peer | None,
        *,
        transmit: str,
        bursts: Callable[[int, Slots], Bursts],
        notes: tuple[str, ...] = (),
    ) -> None:
        """`peer`: whom acknowledgements come from, None where frames name no source."""
        self.transmit = transmit
        self.notes = notes
        self._inbox = inbox
        self._sessions = [one.session for one in accepted]
        self.lanes = [self._lane(number, one, peer, bursts) for number, one in enumerate(accepted)]

    def recover(self) -> None:
        """Nothing to do: no program can be replaced here."""

    def close(self) -> None:
        """Acknowledgements are strangers' from here on."""
        for session in self._sessions:
            self._inbox.forget(session)

    def _lane(
        self, number: int, accepted: Accepted, peer: Peer | None, bursts: Callable[[int, Slots], Bursts]
    ) -> TransmitLane:
        terms = accepted.terms
        memory = np.zeros(terms.window * terms.payload_size, np.uint8)
        slots = Slots(memory, window=terms.window, payload_size=terms.payload_size)
        state = AcknowledgementState(window=terms.window, first_index=accepted.first_index)
        hearing = SocketAcknowledgements(state, self._inbox)
        self._inbox.register(
            accepted.session, Kind.ACK, peer, lambda packets, lengths: hearing.take(packets, lengths, now_us())
        )
        return TransmitLane(slots=slots, hearing=hearing, bursts=bursts(number, slots))
