# SPDX-License-Identifier: GPL-2.0-only
"""What a receiving process writes down of a transfer in memory that outlives it, and what the next one finds there.

A map for the facts: two areas, of which the newer one that is whole counts, and `drained` of each lane. When the file's
size is known, a map for its blocks: the digest of each that stands in the partial file, and a bit that says so. Written
in this order: the data, the digest, the bit, `drained` here, `drained` where XDP sees it. Whoever reads trusts it no
more than bytes from the wire.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np
import xxhash
from numpy.typing import NDArray

from towline.errors import MalformedError, UnsupportedError
from towline.kernel.memory import Map
from towline.protocol.opening import Terms
from towline.settings import LANES_MOST
from towline.sockets.port import Peer
from towline.transfer.digest import DIGEST_BYTES
from towline.transfer.files import Inode

AREA_BYTES = 1 << 18
BLOCKS_MOST = 1 << 22
_HEAD = np.dtype([("digest", np.uint8, 16), ("generation", np.uint64), ("size", np.uint64)])
_GENERATION_MOST = 1 << 62
_LAYOUT = np.dtype([("areas", np.uint8, (2, AREA_BYTES)), ("drained", np.int64, LANES_MOST)])


class LaneFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One session of a transfer."""

    session: int
    lane: int
    first_index: int
    packets: int | None = None  # of the lane, as FIN has said


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What the next process has to know of a transfer, and cannot see in the program's memory."""

    level: str
    peer: Peer | None
    reply_to: Peer
    transfer: int
    lanes: int
    terms: Terms
    rtt_us: int
    folder: str  # where the file goes, absolute
    part: str  # and the partial file's name in it, whether there is one yet or not
    sessions: tuple[LaneFacts, ...] = ()
    head: bytes = b""  # the stream's, before the file's first byte, as far as it has come
    inode: Inode | None = None  # of the partial file
    stream_bytes: int | None = None  # as FIN has said
    digest: bytes = b""  # of the whole stream, when all of it stands in the partial file


class Ledger:
    """The facts of one transfer, in a map that is this object's."""

    def __init__(self, which: Map) -> None:
        """Raises MalformedError where the map is none of ours."""
        self._map = which
        self._memory = _only_value(which, _LAYOUT)
        self._generation = 0

    @classmethod
    def new(cls) -> Ledger:
        """An empty one."""
        return cls(Map.create_array("towline_ledger", _LAYOUT.itemsize))

    @property
    def map(self) -> Map:
        """To be pinned."""
        return self._map

    def write(self, facts: Facts) -> None:
        """Facts instead of the earlier ones; at any moment one of the two is whole."""
        body = msgspec.msgpack.encode(facts)
        room = AREA_BYTES - _HEAD.itemsize
        if len(body) > room:
            raise UnsupportedError("keeping this transfer", f"facts of at most {room} bytes")
        self._generation += 1
        area = self._memory["areas"][self._generation % 2]
        head = np.zeros(1, _HEAD)
        head["generation"], head["size"] = self._generation, len(body)
        head["digest"] = np.frombuffer(_digest(head, body), np.uint8)
        area[: _HEAD.itemsize] = 0  # from here on it is not whole
        area[_HEAD.itemsize :][: len(body)] = np.frombuffer(body, np.uint8)
        area[: _HEAD.itemsize] = head.view(np.uint8)

    def read_untrusted(self) -> Facts:
        """The newest facts that are whole. Raises MalformedError."""
        found = [one for one in map(_whole, self._memory["areas"]) if one is not None]
        if not found:
            raise MalformedError("pinned facts that are not whole")
        self._generation, body = max(found)
        try:
            return msgspec.msgpack.decode(body, type=Facts)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise MalformedError(f"pinned facts: {error}") from None

    def drained(self, lane: int, index: int) -> None:
        """A lane's packets below index (not wrapped) will not be needed again."""
        self._memory["drained"][lane] = index

    def drained_of(self, lane: int) -> int:
        """What was said last; 0: nothing."""
        return int(self._memory["drained"][lane])

    def close(self) -> None:
        """Let go of the map."""
        self._map.close()


class Blocks:
    """Which of a transfer's blocks stand in the partial file, in a map that is this object's."""

    def __init__(self, which: Map, count: int) -> None:
        """Raises MalformedError where the map is none of ours."""
        self._map = which
        self._memory = _only_value(which, _blocks_layout(count))

    @classmethod
    def new(cls, count: int) -> Blocks:
        """None of them. Raises UnsupportedError for more than are kept."""
        if count > BLOCKS_MOST:
            raise UnsupportedError("keeping this transfer", f"at most {BLOCKS_MOST} blocks: raise --block-size")
        return cls(Map.create_array("towline_blocks", _blocks_layout(count).itemsize), count)

    @property
    def map(self) -> Map:
        """To be pinned."""
        return self._map

    def mark(self, number: int, digest: bytes) -> None:
        """A block stands in the file."""
        self._memory["digests"][number] = np.frombuffer(digest, np.uint8)
        self._memory["written"][number >> 3] |= np.uint8(1 << (number & 7))

    def marked(self) -> Iterator[tuple[int, bytes]]:
        """The blocks that are marked, ascending, and their digests."""
        for number in np.flatnonzero(np.unpackbits(self._memory["written"], bitorder="little")).tolist():
            if number >= len(self._memory["digests"]):
                raise MalformedError(f"block {number} was marked, and is beyond the end")
            yield number, self._memory["digests"][number].tobytes()

    def close(self) -> None:
        """Let go of the map."""
        self._map.close()


def _blocks_layout(count: int) -> np.dtype[np.void]:
    return np.dtype([("digests", np.uint8, (count, DIGEST_BYTES)), ("written", np.uint8, -(-count // 8))])


def _only_value(which: Map, layout: np.dtype[np.void]) -> NDArray[np.void]:
    """A map's memory; the map is closed where it is not of that layout."""
    try:
        if (which.value_size, which.max_entries) != (layout.itemsize, 1):
            raise MalformedError("a pinned map of another size")
        found: NDArray[np.void] = which.bytes()[: layout.itemsize].view(layout)[0]
    except (MalformedError, ValueError, OSError) as error:
        which.close()
        raise MalformedError(f"a pinned map that is none of ours: {error}") from None
    return found


def _digest(head: NDArray[np.void], body: bytes) -> bytes:
    return xxhash.xxh3_128_digest(head["generation"].tobytes() + body)


def _whole(area: NDArray[np.uint8]) -> tuple[int, bytes] | None:
    head = area[: _HEAD.itemsize].copy().view(_HEAD)
    size, generation = int(head["size"][0]), int(head["generation"][0])
    if not 0 < size <= AREA_BYTES - _HEAD.itemsize or generation > _GENERATION_MOST:
        return None
    body = area[_HEAD.itemsize :][:size].tobytes()
    return (generation, body) if _digest(head, body) == head["digest"].tobytes() else None
