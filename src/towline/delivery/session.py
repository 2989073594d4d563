# SPDX-License-Identifier: GPL-2.0-only
"""Numbers of sessions: random, and the receiver's to choose."""

from __future__ import annotations

import secrets

_VLAN_TAGS = (0x8100, 0x88A8)  # IEEE 802.1Q and 802.1ad


def new_session(slot: int) -> int:
    """A session's number (64 bits, never 0): random, but for the low 16 bits, which find its entry in a map.

    At level dst its bytes 2 and 3 stand where an Ethernet frame has its type: a packet socket would strip what
    looks like a VLAN tag.
    """
    while True:
        session = secrets.randbits(48) << 16 | slot
        if session >> 16 and session >> 32 & 0xFFFF not in _VLAN_TAGS:
            return session
