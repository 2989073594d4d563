# SPDX-License-Identifier: GPL-2.0-only
"""Filling ahead of a lane, in a thread of its own: worth it where a CPU has nothing else to do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from towline.transfer.filler import LaneFiller

CHUNK_PACKETS = 512
WAIT_S = 30e-6


class FillAhead(threading.Thread):
    """Fills while the lane's thread is in the kernel; copying and hashing release the GIL.

    `allowed()` is the index that may be filled up to: slots below it are free.
    """

    def __init__(self, filler: LaneFiller, allowed: Callable[[], int], name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.error: BaseException | None = None
        self._filler = filler
        self._allowed = allowed
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Come to an end soon; from another thread."""
        self._stopping.set()

    def run(self) -> None:
        """The thread: until all is filled, or it is told to stop, or it fails."""
        filler = self._filler
        try:
            while not self._stopping.is_set() and filler.end is None:
                to = min(self._allowed(), filler.filled_to + CHUNK_PACKETS)
                if to > filler.filled_to:
                    filler.fill(to)
                else:
                    time.sleep(WAIT_S)
        except BaseException as error:  # told to the lane's thread, which passes it on
            self.error = error
