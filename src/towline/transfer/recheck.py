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
        self._stop = threading.Event()
        self._error: IntegrityError | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def is_done(self) -> bool:
        """Whether all was read, and is as it should be. Raises IntegrityError as soon as something is not."""
        if self._error is not None:
            raise self._error
        return not self._thread.is_alive()

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
        except IntegrityError as error:
            self._error = error
        except OSError as error:
            self._error = IntegrityError(f"the partial file cannot be read again ({error.strerror})")
        finally:
            os.close(self._fd)
