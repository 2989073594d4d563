# SPDX-License-Identifier: GPL-2.0-only
"""Digests of blocks and of the whole stream: xxh3-128, against accident and not against malice."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from towline.wire import TRAILER, TRAILER_BYTES

DIGEST_BYTES = 16


class BlockDigest:
    """The digest over a block's bytes and its number; the bytes may come in pieces."""

    def __init__(self) -> None:
        self._digest = xxhash.xxh3_128()

    def update(self, views: Iterable[NDArray[np.uint8]]) -> None:
        """The next bytes of the block."""
        for view in views:
            self._digest.update(view.data)

    def finish(self, number: int) -> bytes:
        """The digest (16 bytes)."""
        self._digest.update(number.to_bytes(8, "big"))
        return self._digest.digest()


def block_digest(number: int, views: Iterable[NDArray[np.uint8]]) -> bytes:
    """The digest of a block whose bytes are all there."""
    digest = BlockDigest()
    digest.update(views)
    return digest.finish(number)


def trailer(number: int, digest: bytes) -> bytes:
    """The last 24 bytes of a block."""
    packed = np.zeros(1, TRAILER)
    packed["number_high"], packed["number_low"] = number >> 32, number & 0xFFFFFFFF
    packed["digest"] = np.frombuffer(digest, np.uint8)
    return packed.tobytes()


def read_trailer(raw: bytes) -> tuple[int, bytes]:
    """Number and digest as a trailer of 24 bytes claims them."""
    assert len(raw) == TRAILER_BYTES
    packed: Any = np.frombuffer(raw, TRAILER)[0]
    return int(packed["number_high"]) << 32 | int(packed["number_low"]), packed["digest"].tobytes()


class StreamDigest:
    """The digest of a stream: over the digests of its blocks in stream order, which may come in any order."""

    def __init__(self) -> None:
        self._digests = bytearray()
        self._seen = bytearray()

    def add(self, number: int, digest: bytes) -> None:
        """One block's digest."""
        if number >= len(self._seen):
            more = max(number + 1, 2 * len(self._seen)) - len(self._seen)
            self._seen.extend(bytes(more))
            self._digests.extend(bytes(more * DIGEST_BYTES))
        self._seen[number] = 1
        self._digests[number * DIGEST_BYTES : (number + 1) * DIGEST_BYTES] = digest

    def has(self, number: int) -> bool:
        """Whether a block's digest has been added."""
        return number < len(self._seen) and bool(self._seen[number])

    @property
    def blocks(self) -> int:
        """How many have been added."""
        return self._seen.count(1)

    def whole(self, blocks: int) -> bytes:
        """The stream's digest; all of its blocks must have been added."""
        return xxhash.xxh3_128_digest(memoryview(self._digests)[: blocks * DIGEST_BYTES])
