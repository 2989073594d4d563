# SPDX-License-Identifier: GPL-2.0-only
"""How payload arrives. Every delivery has one shape (`Delivery`), and so has what receives it (`Receiver`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from towline.framing import Ends, Level
from towline.kernel.attach import Link
from towline.kernel.identity import Identity
from towline.protocol.opening import Terms
from towline.protocol.window import Indices
from towline.slots import Slots
from towline.sockets.port import Peer, Port


class Delivery(Protocol):
    """One lane's payload, as it arrives; indices never wrap. None decides what is acknowledged or kept."""

    slots: Slots

    def collect(self) -> bool:
        """Take over what has arrived since the last call; True: not all of it, call again soon."""

    @property
    def ready(self) -> int:
        """Every packet below has been placed; it never falls."""

    @property
    def highest(self) -> int:
        """The highest index seen, exclusive."""

    @property
    def advertised(self) -> int:
        """The limit that the sender was last told from here."""

    def wanted(self) -> Indices:
        """Packets taken back, or come short, that have not been replaced yet; ascending."""

    def take_back(self, indices: Indices) -> None:
        """What these slots hold is of no use: only a packet that is covered by its check may fill them now."""

    def drained(self, index: int) -> None:
        """Everything below may be overwritten."""

    def counters(self) -> dict[str, int]:
        """What became of the lane's packets, by cause (names as in state.h)."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a session's packets come from: `peer` as a socket names it, None where frames name no source."""

    port: Port
    peer: Peer | None
    reply_to: Peer
    ends: Ends  # of its packets to us
    by_socket: bool  # the sender hears acknowledgements through an ordinary socket

    @property
    def level(self) -> Level:
        """The level of its packets."""
        return self.port.level


class Receiver(Protocol):
    """What takes the packets of an interface's sessions."""

    xdp_mode: str | None  # "native" or "generic"; None where no XDP program takes them
    program: int | None  # that program's file descriptor
    identity: Identity | None  # and what it says of itself
    link: Link | None  # and what holds it in its place
    notes: tuple[str, ...]  # what was not used as it might have been, and why

    def open(self, terms: Terms, origin: Origin, first_index: int, rtt_us: int) -> tuple[int, Delivery]:
        """A session with its memory, taken care of from here on. `rtt_us`: of the handshake.

        Raises UnsupportedError where all of the interface's sessions are taken.
        """

    def close_session(self, session: int) -> None:
        """The session's packets are strangers' from here on; its memory goes."""

    def recover(self) -> None:
        """Undo what a program may have left in the sessions' memory that stops its successor."""

    def close(self) -> None:
        """Everything goes."""
