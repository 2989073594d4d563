# SPDX-License-Identifier: GPL-2.0-only
"""A file of JSON lines that is appended to as things happen, and survives that its writer is killed."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from towline.errors import FileError

_TAIL_BYTES = 1 << 16


class Journal:
    """The only writer of a file of JSON lines, a context manager. What an earlier writer left half written is cut off.

    Raises FileError where another process writes to the same file now.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Journal:
        self._file = self._path.open("a+b", buffering=0)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise FileError(
                self._path, "is being written to by another sweep: wait for it, or take another --output"
            ) from None
        _cut_torn_line(self._file.fileno())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def append(self, line: Mapping[str, Any]) -> None:
        """One line, handed to the kernel whole: it is there even if we are killed next."""
        left = msgspec.json.encode(line) + b"\n"
        while left:
            left = left[self._file.write(left) :]


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a journal, but for one that its writer is just writing or never finished; none without a file.

    Raises FileError for a line in the middle that is no JSON object.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return
            try:
                yield msgspec.json.decode(line, type=dict[str, Any])
            except msgspec.DecodeError as error:
                raise FileError(path, f"line {number} is damaged ({error}): remove the line") from None


def _cut_torn_line(fd: int) -> None:
    end = os.fstat(fd).st_size
    while end:
        begin = max(0, end - _TAIL_BYTES)
        newline = os.pread(fd, end - begin, begin).rfind(b"\n")
        if newline >= 0:
            end = begin + newline + 1
            break
        end = begin
    os.ftruncate(fd, end)
