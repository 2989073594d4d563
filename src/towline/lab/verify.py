# SPDX-License-Identifier: GPL-2.0-only
"""Whether what arrived is what was sent: an independent comparison, outside the clock."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import xxhash

from towline.errors import FileError
from towline.transfer.files import RandomSource

_CHUNK_BYTES = 4 << 20


def file_chunks(path: Path) -> Iterator[memoryview]:
    """The bytes of a file; each chunk is valid until the next one is asked for."""
    buffer = bytearray(_CHUNK_BYTES)
    view = memoryview(buffer)
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            yield view[:count]


def source_bytes(source: Path | int) -> int:
    """How much a sender sends; raises FileError where the file cannot be looked at."""
    if isinstance(source, int):
        return source
    try:
        return int(source.stat().st_size)
    except OSError as error:
        raise FileError(source, error.strerror or "cannot be read") from error


def source_chunks(source: Path | int, seed: int) -> Iterator[memoryview]:
    """The bytes that a sender sends: of a file, or random ones."""
    if isinstance(source, Path):
        return file_chunks(source)
    return _random_chunks(source, seed)


def _random_chunks(size_bytes: int, seed: int) -> Iterator[memoryview]:
    source = RandomSource(size_bytes, seed)
    buffer = np.empty(_CHUNK_BYTES, np.uint8)
    for offset in range(0, size_bytes, _CHUNK_BYTES):
        chunk = buffer[: min(_CHUNK_BYTES, size_bytes - offset)]
        source.read_into([chunk], offset)
        yield chunk.data


def digest(chunks: Iterable[memoryview | bytes]) -> tuple[int, str]:
    """Length in bytes and xxh3-128 of all chunks together."""
    state = xxhash.xxh3_128()
    length_bytes = 0
    for chunk in chunks:
        state.update(chunk)
        length_bytes += len(chunk)
    return length_bytes, state.hexdigest()


def same(sent: Iterable[memoryview | bytes], received: Path) -> bool:
    """Whether a file holds the bytes that were sent."""
    return digest(sent) == digest(file_chunks(received))
