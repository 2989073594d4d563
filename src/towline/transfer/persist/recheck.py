# SPDX-License-Identifier: GPL-2.0-only
"""Reads again what another process has written, beside the transfer that goes on: is it what its digests say?

Whoever has killed a process may have done something to its partial file, too. It takes as long as the file is large, so
nobody waits for it before the end.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence

import numpy as np

from towline.errors import IntegrityError
from towline.transfer.digest import block_digest
from towline.transfer.stream import IncomingStream


class Recheck:
    """A thread of its own, until all was read or `stop`."""

    def __init__(self, fd: int, stream: IncomingStream, written: Sequence[tuple[int, bytes]]) -> None:
        """It begins. `fd`: the partial file, which becomes this object's; `written`: blocks and their digests."""
        self._fd = fd
        self._stream = stream
        self._written = written
        self.blocks_read = 0
        self._stop = threading.Event()
        self._error: IntegrityError | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def is_done(self) -> bool:
        """Whether all was read, and is as it should be. Raises IntegrityError as soon as something is not."""
        ended = not self._thread.is_alive()  # asked first: it may end between two questions
        if self._error is not None:
            raise self._error
        return ended and self.blocks_read == len(self._written)

    def stop(self) -> None:
        """Nobody wants to know any more."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            for number, digest in self._written:
                if self._stop.is_set():
                    return
                start, end = self._stream.place_of(number)
                content = [self._stream.head_of(number), os.pread(self._fd, end - start, start)]
                views = [np.frombuffer(piece, np.uint8) for piece in content if piece]
                if block_digest(number, views) != digest:
                    raise IntegrityError(f"the partial file was altered: block {number} is not what was written")
                self.blocks_read += 1
        except IntegrityError as error:
            self._error = error
        except Exception as error:  # whatever it is: what was not read is not known to be right
            why = getattr(error, "strerror", None) or type(error).__name__
            self._error = IntegrityError(f"the partial file cannot be read again ({why})")
        finally:
            os.close(self._fd)
