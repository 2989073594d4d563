# SPDX-License-Identifier: GPL-2.0-only
"""How payload arrives. Every delivery has one shape (`Delivery`); none decides what is acknowledged or kept."""

from __future__ import annotations

from typing import Protocol

from towline.protocol.window import Indices
from towline.slots import Slots


class Delivery(Protocol):
    """One lane's payload, as it arrives; indices never wrap."""

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
