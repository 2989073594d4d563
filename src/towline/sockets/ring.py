# SPDX-License-Identifier: GPL-2.0-only
"""A packet socket's ring of received frames (TPACKET_V2): read where the kernel wrote them, one per slot.

The layout is that of linux/if_packet.h. Version 3 packs frames closer, but wakes its reader a timer later.
"""

from __future__ import annotations

import mmap
import socket
import struct

import numpy as np
from numpy.typing import NDArray

RING_BYTES = 8 << 20
MOST_ROWS = 1024
_FIRST_LOOK_ROWS = 32  # each look at a slot is a miss of the cache
_BLOCK_BYTES = 1 << 18
_LEAST_SLOT_BYTES, _LARGEST_SLOT_BYTES = 2048, 16384
_FRAME_AT = 66  # behind tpacket2_hdr and sockaddr_ll, so that what follows 14 bytes of Ethernet is aligned to 16
_VLAN_BYTES = 4
_SOL_PACKET, _RX_RING, _VERSION, _V2 = 263, 5, 10, 1
_REQUEST = struct.Struct("4I")  # tpacket_req: block size, blocks, frame size, frames
_HEAD = np.dtype(  # tpacket2_hdr
    {
        "names": ["status", "bytes", "kept", "mac", "tci", "tpid"],
        "formats": ["u4", "u4", "u4", "u2", "u2", "u2"],
        "offsets": [0, 4, 8, 12, 24, 26],
        "itemsize": 32,
    }
)
_USER, _VLAN_VALID, _TPID_VALID = 1, 1 << 4, 1 << 6
_TAG = struct.Struct("!HH")


class Ring:
    """The same shape as Arrivals: `rows`, `row_bytes`, `overflow`; one thread receives."""

    def __init__(self, opened: socket.socket, mtu: int) -> None:
        """For a packet socket that is not bound yet. Raises OSError."""
        slot_bytes = 1 << max(_FRAME_AT + 14 + mtu + _VLAN_BYTES - 1, _LEAST_SLOT_BYTES - 1).bit_length()
        slot_bytes = min(slot_bytes, _LARGEST_SLOT_BYTES)
        slots = RING_BYTES // slot_bytes
        opened.setsockopt(_SOL_PACKET, _VERSION, _V2)
        wish = _REQUEST.pack(_BLOCK_BYTES, RING_BYTES // _BLOCK_BYTES, slot_bytes, slots)
        opened.setsockopt(_SOL_PACKET, _RX_RING, wish)
        memory = np.frombuffer(mmap.mmap(opened.fileno(), RING_BYTES), np.uint8).reshape(slots, slot_bytes)
        self._heads = memory[:, : _HEAD.itemsize].view(_HEAD)[:, 0]
        self._frames = memory[:, _FRAME_AT:]
        self._first = 0
        self._used = 0
        self.row_bytes = slot_bytes - _FRAME_AT
        self.overflow = np.empty((slots, 0), np.uint8)

    @property
    def rows(self) -> NDArray[np.uint8]:
        """The frames that came last, from the first byte on."""
        return self._frames[self._first : self._first + self._used]

    def receive(self) -> int:
        """How many frames there are; those of the last call go back to the kernel (until then, poll says readable)."""
        heads = self._heads
        heads["status"][self._first : self._first + self._used] = 0
        self._first = (self._first + self._used) % len(heads)
        self._used = 0
        for most in (_FIRST_LOOK_ROWS, MOST_ROWS):
            ready = heads["status"][self._first : self._first + most] & _USER != 0
            self._used = len(ready) if ready.all() else int(ready.argmin())
            if self._used < len(ready):
                break
        return self._used

    def lengths(self) -> NDArray[np.int64]:
        """Bytes of each frame; -1 where it did not fit its slot."""
        heads = self._heads[self._first : self._first + self._used]
        whole = (heads["kept"] == heads["bytes"]) & (heads["mac"] == _FRAME_AT)
        return np.where(whole, heads["bytes"].astype(np.int64), -1)

    def put_tags_back(self, lengths: NDArray[np.int64]) -> None:
        """The kernel takes out four bytes that look like a VLAN tag: put them back, in place, where they are ours."""
        heads = self._heads[self._first : self._first + self._used]
        for row in np.flatnonzero((heads["status"] & _VLAN_VALID != 0) & (lengths >= 12)).tolist():  # rare
            frame, size, head = self.rows[row], int(lengths[row]), heads[row]
            if size + _VLAN_BYTES > len(frame):
                lengths[row] = -1
                continue
            tpid = int(head["tpid"]) if head["status"] & _TPID_VALID else 0x8100
            frame[16 : size + _VLAN_BYTES] = frame[12:size].copy()
            frame[12:16] = np.frombuffer(_TAG.pack(tpid, int(head["tci"])), np.uint8)
            lengths[row] += _VLAN_BYTES
