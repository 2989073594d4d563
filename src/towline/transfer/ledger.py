# SPDX-License-Identifier: GPL-2.0-only
"""What a receiving process writes down of a transfer in memory that outlives it, and what its successor finds there.

A map of one value: two areas for the facts, of which the newer one that is whole counts; `drained` of each lane; a
bit for each block that stands in the partial file. Written in this order: the data, the bit, `drained` here, `drained`
where XDP sees it. Whoever reads trusts it no more than bytes from the wire.
"""

from __future__ import annotations

import msgspec
import numpy as np
import xxhash
from numpy.typing import NDArray

from towline.errors import MalformedError, UnsupportedError
from towline.framing import Ends
from towline.kernel.memory import Map
from towline.protocol.opening import LANES_MOST, Terms
from towline.sockets.port import Peer

AREA_BYTES = 1 << 18
BITMAP_BYTES = 1 << 20
_HEAD = np.dtype([("digest", np.uint8, 16), ("generation", np.uint64), ("size", np.uint64)])
_LAYOUT = np.dtype(
    [
        ("areas", np.uint8, (2, AREA_BYTES)),
        ("drained", np.int64, LANES_MOST),
        ("written", np.uint8, BITMAP_BYTES),
    ]
)


class LaneFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One session of a transfer."""

    session: int
    lane: int
    first_index: int


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a successor has to know of a transfer, and cannot see in the program's memory."""

    level: str
    peer: Peer | None
    reply_to: Peer
    ends: Ends
    transfer: int
    lanes: int
    terms: Terms
    rtt_us: int
    sessions: tuple[LaneFacts, ...] = ()
    head: bytes = b""  # the stream's, before the file's first byte, as far as it has come
    part: str = ""  # the partial file's name, once it has one


class Ledger:
    """Of one transfer, in a map that is this object's."""

    def __init__(self, which: Map) -> None:
        """Raises MalformedError where the map is none of ours."""
        self._map = which
        if (which.value_size, which.max_entries) != (_LAYOUT.itemsize, 1):
            which.close()
            raise MalformedError("a pinned map of another size")
        self._memory = which.bytes()[: _LAYOUT.itemsize].view(_LAYOUT)[0]
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
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise MalformedError(f"pinned facts: {error}") from None

    def mark(self, block: int) -> None:
        """A block stands in the file. Raises UnsupportedError for a number beyond what is kept."""
        if block >= 8 * BITMAP_BYTES:
            raise UnsupportedError("keeping this transfer", f"at most {8 * BITMAP_BYTES} blocks: raise --block-size")
        self._memory["written"][block >> 3] |= np.uint8(1 << (block & 7))

    def written(self) -> NDArray[np.int64]:
        """The blocks that are marked, ascending."""
        return np.flatnonzero(np.unpackbits(self._memory["written"], bitorder="little"))

    def drained(self, lane: int, index: int) -> None:
        """A lane's packets below index (not wrapped) will not be needed again."""
        self._memory["drained"][lane] = index

    def drained_of(self, lane: int) -> int:
        """What was said last; 0: nothing."""
        return int(self._memory["drained"][lane])

    def close(self) -> None:
        """Let go of the map."""
        self._map.close()


def _digest(head: NDArray[np.void], body: bytes) -> bytes:
    return xxhash.xxh3_128_digest(head["generation"].tobytes() + body)


def _whole(area: NDArray[np.uint8]) -> tuple[int, bytes] | None:
    head = area[: _HEAD.itemsize].copy().view(_HEAD)
    size = int(head["size"][0])
    if not 0 < size <= AREA_BYTES - _HEAD.itemsize:
        return None
    body = area[_HEAD.itemsize :][:size].tobytes()
    return (int(head["generation"][0]), body) if _digest(head, body) == head["digest"].tobytes() else None
