# SPDX-License-Identifier: GPL-2.0-only
"""The stream: for a file an entry (name, size, mode, time), then its bytes; cut into blocks."""

from __future__ import annotations

import threading
from collections.abc import Iterable

import msgspec
import numpy as np
from numpy.typing import NDArray

from towline.errors import IntegrityError, MalformedError
from towline.protocol.receiver import packets_per_block
from towline.slots import gather, scatter
from towline.transfer.digest import StreamDigest, block_digest
from towline.transfer.files import Sink, Source

ENTRY_PREFIX_BYTES = 4
ENTRY_MOST_BYTES = 64 << 10
NAME_MOST_BYTES = 255


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What is said of a file before its bytes; names from the wire are data."""

    name: str
    size_bytes: int
    mode: int
    mtime_ns: int


def encode_entry(entry: Entry) -> bytes:
    """An entry as it stands in the stream: its length (4 bytes, network order), then MessagePack."""
    body = msgspec.msgpack.encode(entry)
    return len(body).to_bytes(ENTRY_PREFIX_BYTES, "big") + body


def decode_entry_untrusted(body: bytes) -> Entry:
    """The entry in bytes from the wire (without the length). Raises MalformedError."""
    try:
        entry = msgspec.msgpack.decode(body, type=Entry)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedError(f"a file's entry: {error}") from None
    name = entry.name
    if not name or name in (".", "..") or "/" in name or "\0" in name:
        raise MalformedError(f"a file named {name!r}")
    if len(name.encode(errors="surrogatepass")) > NAME_MOST_BYTES or entry.size_bytes < 0:
        raise MalformedError("a file's name that is too long, or a size below zero")
    return entry


class OutgoingStream:
    """The sender's: blocks are taken by lanes, in order, each by one lane."""

    def __init__(self, entry: Entry, source: Source, block_bytes: int) -> None:
        self._head = np.frombuffer(encode_entry(entry), np.uint8)
        self._source = source
        self._block_bytes = block_bytes
        self.stream_bytes = len(self._head) + entry.size_bytes
        self.blocks = -(-self.stream_bytes // block_bytes)
        self.digest = StreamDigest()
        self._next = 0
        self._lock = threading.Lock()

    def take(self) -> tuple[int, int] | None:
        """The next block as (number, bytes); None: all are taken."""
        with self._lock:
            number = self._next
            if number >= self.blocks:
                return None
            self._next += 1
        return number, min(self._block_bytes, self.stream_bytes - number * self._block_bytes)

    @property
    def exhausted(self) -> bool:
        """Every block has been taken."""
        return self._next >= self.blocks

    def bytes_in(self, packets: int, payload_size: int) -> int:
        """Stream bytes in a lane's first packets."""
        whole, rest = divmod(packets, packets_per_block(self._block_bytes, payload_size))
        return whole * self._block_bytes + min(rest * payload_size, self._block_bytes)

    def add_digest(self, number: int, digest: bytes) -> None:
        """A block's digest, by the lane that sends it."""
        with self._lock:
            self.digest.add(number, digest)

    def read_into(self, views: list[NDArray[np.uint8]], number: int, skip: int) -> None:
        """Bytes of block `number` from byte `skip` on, into views."""
        at = number * self._block_bytes + skip
        head = len(self._head)
        if at < head:
            size = sum(len(view) for view in views)
            first, views = _split(views, min(size, head - at))
            scatter(first, self._head[at : at + sum(len(view) for view in first)])
            at = head
        if views:
            self._source.read_into(views, at - head)


class IncomingStream:
    """The receiver's: blocks come in any order, each once."""

    def __init__(self, sink: Sink, block_bytes: int) -> None:
        self._sink = sink
        self._block_bytes = block_bytes
        self._head = b""
        self._head_bytes = 0
        self._head_blocks = 0
        self._resumed: dict[int, bytes] = {}  # digests of blocks that a predecessor has written: they may come again
        self.entry: Entry | None = None
        self.digest = StreamDigest()
        self.file_bytes_written = 0

    @property
    def head(self) -> bytes:
        """What stands before the file's bytes, as far as it has come."""
        return self._head[: self._head_bytes] if self.entry else self._head

    def resume_head(self, head: bytes) -> None:
        """What a predecessor has seen of the head: whole blocks, or all of it. Raises MalformedError."""
        self._head = head[: ENTRY_PREFIX_BYTES + ENTRY_MOST_BYTES]
        if self._has_entry():
            self.entry = decode_entry_untrusted(self._head[ENTRY_PREFIX_BYTES : self._head_bytes])
            self._head = self._head[: self._head_bytes]
        self._head_blocks = len(self._head) // self._block_bytes
        if self.entry is None:
            self._head = self._head[: self._head_blocks * self._block_bytes]
        for number in range(self._head_blocks):
            content = self._head[number * self._block_bytes : (number + 1) * self._block_bytes]
            self._resume_block(number, block_digest(number, [np.frombuffer(content, np.uint8)]))

    def resume(self, written: Iterable[tuple[int, bytes]]) -> None:
        """Blocks of which a predecessor has said that they stand in the partial file, and their digests.

        Raises MalformedError.
        """
        for number, digest in written:
            if number >= self.blocks:
                raise MalformedError(f"block {number} was marked, and is beyond the end")
            self._resume_block(number, digest)
            start, end = self.place_of(number)
            self.file_bytes_written += end - start

    @property
    def blocks(self) -> int:
        """How many there are, when the entry is known."""
        assert self.entry is not None
        return -(-(self._head_bytes + self.entry.size_bytes) // self._block_bytes)

    def place_of(self, number: int) -> tuple[int, int]:
        """Where a block's bytes, but for those of the head, stand in the file: from, to."""
        assert self.entry is not None
        start, end = (max(0, at * self._block_bytes - self._head_bytes) for at in (number, number + 1))
        return start, min(end, self.entry.size_bytes)

    def head_of(self, number: int) -> bytes:
        """A block's part of the head."""
        return self.head[number * self._block_bytes : (number + 1) * self._block_bytes]

    def _resume_block(self, number: int, digest: bytes) -> None:
        self.digest.add(number, digest)
        self._resumed[number] = digest

    def offer(self, number: int, views: list[NDArray[np.uint8]], digest: bytes) -> bool:
        """A verified block. False: not yet, the file's entry must come before it.

        Raises IntegrityError for a block that was there before or lies beyond the end, MalformedError for a bad entry.
        """
        if self.digest.has(number):
            if self._resumed.pop(number, None) == digest:
                return True  # the predecessor had written it, and could not say so any more
            raise IntegrityError(f"block {number} came twice")
        skip = max(0, self._head_bytes - number * self._block_bytes) if self.entry else 0
        if self.entry is None:
            if number != self._head_blocks:
                return False
            self._head_blocks += 1
            before = len(self._head)
            self._head += gather(views)
            if not self._take_entry():
                self.digest.add(number, digest)
                return True
            skip = self._head_bytes - before
        if self.entry is not None:
            offset = number * self._block_bytes + skip - self._head_bytes
            _, views = _split(views, skip)
            size = sum(len(view) for view in views)
            if offset + size > self.entry.size_bytes:
                raise IntegrityError(f"block {number} lies beyond the end of the file")
            if size:
                self._sink.write(views, offset)
            self.file_bytes_written += size
        self.digest.add(number, digest)
        return True

    def complete(self, stream_bytes: int) -> bool:
        """Whether all of a stream of that length has come."""
        if self.entry is None:
            return False
        if self._head_bytes + self.entry.size_bytes != stream_bytes:
            raise IntegrityError("the stream is not as long as its entry says")
        return self.digest.blocks == -(-stream_bytes // self._block_bytes)

    def _take_entry(self) -> bool:
        if not self._has_entry():
            return False
        self.entry = decode_entry_untrusted(self._head[ENTRY_PREFIX_BYTES : self._head_bytes])
        self._sink.open(self.entry.name, self.entry.mode, self.entry.mtime_ns)
        return True

    def _has_entry(self) -> bool:
        """Whether the head is whole. Raises MalformedError where it would be too long."""
        if len(self._head) < ENTRY_PREFIX_BYTES:
            return False
        size = int.from_bytes(self._head[:ENTRY_PREFIX_BYTES], "big")
        if size > ENTRY_MOST_BYTES:
            raise MalformedError(f"a file's entry of {size} bytes")
        self._head_bytes = ENTRY_PREFIX_BYTES + size
        return len(self._head) >= self._head_bytes


def _split(views: list[NDArray[np.uint8]], size: int) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]]:
    """Views of the first `size` bytes of views, and of the rest."""
    first: list[NDArray[np.uint8]] = []
    rest: list[NDArray[np.uint8]] = []
    for view in views:
        taken = min(size, len(view))
        size -= taken
        if taken:
            first.append(view[:taken])
        if taken < len(view):
            rest.append(view[taken:])
    return first, rest
