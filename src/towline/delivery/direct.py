# SPDX-License-Identifier: GPL-2.0-only
"""Delivery `direct`: XDP writes each payload at its place in a memory-mapped array."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from towline.delivery.shared import SharedState
from towline.protocol.opening import Terms
from towline.protocol.window import Indices
from towline.slots import Slots


class DirectDelivery(SharedState):
    """The slots are the kernel's; nothing is copied."""

    def __init__(
        self,
        state: Any,
        slot: int,
        want_fd: int,
        terms: Terms,
        first_index: int,
        memory: NDArray[np.uint8],
        *,
        resumed: bool = False,
    ) -> None:
        super().__init__(state, slot, want_fd, terms, first_index, resumed=resumed)
        self.slots = Slots(memory, window=terms.window, payload_size=terms.payload_size)

    def collect(self) -> bool:
        """Nothing to do: it stands where it belongs."""
        return False

    @property
    def ready(self) -> int:
        """Every packet below has been placed."""
        return self.placed

    def wanted(self) -> Indices:
        """Packets taken back that XDP has not replaced yet."""
        return self.wanted_bits()

    def take_back(self, indices: Indices) -> None:
        """Only a packet that is covered by its check may fill these slots now."""
        self.want(indices)
