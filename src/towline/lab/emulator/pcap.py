# SPDX-License-Identifier: GPL-2.0-only
"""A pcap file with nanoseconds, written in batches by a thread, so that the disk delays nobody.

The format: https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-05.html
"""

from __future__ import annotations

import os
import queue
import struct
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

_FILE_HEADER = struct.Struct("=IHHiIII")
_MAGIC_NANOSECONDS = 0xA1B23C4D
_LARGEST_BYTES = 65535
_ETHERNET = 1
_HEADER = np.dtype([("seconds", "u4"), ("nanoseconds", "u4"), ("captured", "u4"), ("length", "u4")])
_NS = 1_000_000_000


class Capture:
    """An open file; `write` returns at once. `error`: why nothing more could be written, if so."""

    def __init__(self, path: Path) -> None:
        """Raises OSError where the file cannot be made."""
        self.error: OSError | None = None
        self._file = path.open("wb", buffering=0)
        self._file.write(_FILE_HEADER.pack(_MAGIC_NANOSECONDS, 2, 4, 0, 0, _LARGEST_BYTES, _ETHERNET))
        self._batches: queue.SimpleQueue[NDArray[np.uint8] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="towline-pcap", daemon=True)
        self._thread.start()

    def write(
        self,
        times_ns: NDArray[Any],
        lengths: NDArray[Any],
        memory: NDArray[np.uint8],
        begins: NDArray[Any],
        align_bytes: int,
    ) -> None:
        """Frames at `begins` in `memory` (multiples of `align_bytes`), with their times since 1970."""
        self._batches.put(encode(times_ns, lengths, memory, begins, align_bytes))

    def close(self) -> None:
        """Write what is left."""
        self._batches.put(None)
        self._thread.join()
        self._file.close()

    def _run(self) -> None:
        if hasattr(os, "sched_setscheduler"):
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))  # this thread: writing can wait
        while (batch := self._batches.get()) is not None:
            try:
                if self.error is None:
                    self._file.write(batch.data)
            except OSError as error:
                self.error = error


def encode(
    times_ns: NDArray[Any], lengths: NDArray[Any], memory: NDArray[np.uint8], begins: NDArray[Any], align_bytes: int
) -> NDArray[np.uint8]:
    """Records of a pcap file, as uint8 (n,); one turn of a loop for each length that occurs."""
    ends = np.cumsum(lengths.astype(np.int64) + _HEADER.itemsize)
    starts = ends - lengths - _HEADER.itemsize
    out = np.zeros(int(ends[-1]) if len(ends) else 0, np.uint8)
    if not len(ends):
        return out
    headers = np.empty(len(ends), _HEADER)
    headers["seconds"], headers["nanoseconds"] = times_ns // _NS, times_ns % _NS
    headers["captured"] = headers["length"] = lengths
    _rows(out, 1, _HEADER.itemsize)[starts] = headers.view(np.uint8).reshape(-1, _HEADER.itemsize)
    for length in np.unique(lengths):
        which = np.flatnonzero(lengths == length)
        from_rows = _rows(memory, align_bytes, int(length))
        _rows(out, 1, int(length))[starts[which] + _HEADER.itemsize] = from_rows[begins[which] // align_bytes]
    return out


def _rows(memory: NDArray[np.uint8], step: int, length: int) -> NDArray[np.uint8]:
    """Every `length` bytes of it that begin at a multiple of `step`, as rows that overlap."""
    count = (len(memory) - length) // step + 1
    return as_strided(memory, (count, length), (step, 1))
