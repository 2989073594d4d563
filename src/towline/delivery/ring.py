# SPDX-License-Identifier: GPL-2.0-only
"""Delivery `ring`: XDP hands payload over in a BPF ring buffer, the protocol as first described."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from towline.delivery.shared import SharedState
from towline.kernel.memory import Map, Ring
from towline.protocol.opening import Terms
from towline.protocol.window import Indices, run_length, unwrap_all
from towline.slots import Slots

BATCH_RECORDS = 1024


class RingDelivery(SharedState):
    """The slots are this process's; records are copied into them a batch at a time."""

    def __init__(
        self,
        state: Any,
        slot: int,
        want_fd: int,
        terms: Terms,
        first_index: int,
        memory: NDArray[np.uint8],
        ring: Map,
        record: np.dtype[Any],
        delay_us: int,
        *,
        resumed: bool = False,
    ) -> None:
        """`memory`: the slots'; where it outlives this process, so does what was copied into it."""
        super().__init__(state, slot, want_fd, terms, first_index, resumed=resumed)
        self.slots = Slots(memory, window=terms.window, payload_size=terms.payload_size)
        self._rows = self.slots.rows()
        self._ring = Ring(ring, record)
        self._delay_us = delay_us
        self._arrived = np.zeros(terms.window, np.bool_)  # by slot: in the ring at least once since it was drained
        self._short = np.zeros(terms.window, np.bool_)  # by slot: its content is of no use
        self._front = first_index
        if resumed:
            self._resume()

    def _resume(self) -> None:
        """What was placed and is not in the ring any more has been copied: the ring moves on only behind the copy."""
        # Before the ring is looked at, since XDP submits a record before it marks, or clears what is wanted: a packet
        # that comes meanwhile is taken for one that is still to come, and then found in the ring.
        placed, wanted = self.placed_indices(), self.wanted_bits()
        waiting, _ = self._ring.batch(self._ring.size_bytes)
        self._arrived[placed % self._window] = True
        self._arrived[unwrap_all(waiting["index"], self._drained) % self._window] = False
        self._short[wanted % self._window] = True
        self._front += run_length(self._arrived, self._front, self._window)

    @staticmethod
    def record_dtype(head: np.dtype[Any], record_bytes: int) -> np.dtype[Any]:
        """struct record with the data that an interface's capacity gives it."""
        fields = {name: head.fields[name] for name in ("index", "length", "placed")}  # type: ignore[index]
        data_bytes = record_bytes - head.itemsize
        return np.dtype(
            {
                "names": [*fields, "data"],
                "formats": [*(kind for kind, *_ in fields.values()), (np.uint8, data_bytes)],
                "offsets": [*(offset for _, offset, *_ in fields.values()), head.itemsize],
                "itemsize": record_bytes,
            }
        )

    def collect(self) -> bool:
        """Copy what is in the ring into the slots, a batch a call; True: there may be more."""
        records, keep = self._ring.batch(BATCH_RECORDS)
        taken = len(records)
        if not taken:
            return False
        if keep is not None:
            records = records[keep]
        slots = unwrap_all(records["index"], self._drained) % self._window
        self._store(slots, records["data"])
        self._arrived[slots] = True
        short = records["placed"] < records["length"]
        self._short[slots] = short
        if short.any():
            self.want(np.sort(unwrap_all(records["index"][short], self._drained)))
        self._ring.release(taken)
        end = self._drained + self._window  # the front never overtakes the window
        self._front += run_length(self._arrived, self._front, end - self._front)
        if self._delay_us:
            time.sleep(self._delay_us / 1e6)
        return taken == BATCH_RECORDS

    @property
    def ready(self) -> int:
        """Every packet below has been in the ring."""
        return self._front

    def ring_fill(self) -> float:
        """The share of the ring buffer in use, 0 to 1."""
        return self._ring.fill_bytes() / self._ring.size_bytes

    def wanted(self) -> Indices:
        """Packets that came short or were taken back, and have not come again."""
        slots = np.flatnonzero(self._short)
        return np.sort(self._drained + (slots - self._drained) % self._window)

    def take_back(self, indices: Indices) -> None:
        """Only a packet that is covered by its check may fill these slots now."""
        self._short[indices % self._window] = True
        self.want(indices)

    def drained(self, index: int) -> None:
        """Everything below may be overwritten."""
        slots = np.arange(self._drained, index) % self._window
        self._arrived[slots] = False
        super().drained(index)

    def _store(self, slots: Indices, data: Any) -> None:
        width = self._rows.shape[1]
        first, last = int(slots[0]), int(slots[-1])
        if last - first == len(slots) - 1 and (np.diff(slots) == 1).all():
            self._rows[first : last + 1] = data[:, :width]  # in order: one copy, and the fastest
        else:
            self._rows[slots] = data[:, :width]
