# SPDX-License-Identifier: GPL-2.0-only
"""Transmit `live`: frames leave from an XDP program run on live frames, payload straight from mapped memory."""

from __future__ import annotations

import os
from time import monotonic_ns
from typing import Any

import numpy as np
from numpy.typing import NDArray

from towline.errors import PermissionsError, UnsupportedError
from towline.kernel.attach import Link
from towline.kernel.link import Interface, xdp_features
from towline.kernel.live import LiveFrames
from towline.kernel.objects import link_info, open_program
from towline.protocol.sender import Schedule
from towline.wire import INDEX_MASK

BATCH_FRAMES = 64
FOLLOW_NS = 5_000_000


def require_live_frames(interface: Interface) -> None:
    """Raises UnsupportedError where the driver says that it cannot send redirected frames: they vanish silently."""
    features = xdp_features(interface.index)
    if features is not None and "ndo-xmit" not in features:
        raise UnsupportedError(
            f"sending live frames through {interface.name}",
            "a driver with ndo_xdp_xmit (its peer, if it is a veth, with GRO on or a native XDP program)",
        )


class Follower:
    """Has live frames run the program that is attached, at most FOLLOW_NS after another has taken its place.

    Not only because a swap means what is sent as well: a program that is attached nowhere is put into the XDP
    dispatcher and taken out of it by each call of BPF_PROG_TEST_RUN, which waits for RCU (a twentieth of the rate was
    left).
    """

    def __init__(self, frames: LiveFrames, link: Link) -> None:
        self._frames = frames
        self._link = link
        self._number = link_info(link.fd).prog_id
        self._fd: int | None = None  # of a successor
        self._looked_ns = 0

    def follow(self) -> None:
        """Often: it does something every FOLLOW_NS."""
        now = monotonic_ns()
        if now - self._looked_ns < FOLLOW_NS:
            return
        self._looked_ns = now
        number = link_info(self._link.fd).prog_id
        if number == self._number:
            return
        try:
            fd = open_program(number)
        except FileNotFoundError:  # another has followed meanwhile
            return
        except PermissionsError:  # whose program that is, we may not see: what we have loaded goes on sending
            self._number = number
            return
        self._frames.use(fd)
        self.close()
        self._fd, self._number = fd, number

    def close(self) -> None:
        """Let go of a successor. Nothing may be sent any more."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


class LiveBursts:
    """One lane's. `state`: its struct sender_state, `entries`: of its struct schedule, both mapped."""

    def __init__(self, *, state: Any, entries: NDArray[Any], frames: LiveFrames, follower: Follower) -> None:
        self._state = state
        self._entries = entries
        self._frames = frames
        self._follower = follower

    @property
    def sent(self) -> int:
        """Frames that left."""
        return int(self._state["sent"])

    def send(self, schedule: Schedule, lengths: NDArray[np.uint16]) -> int:
        """Send packets whose payloads have those lengths. A signal may end a burst early."""
        count = len(schedule)
        entries = self._entries[:count]
        entries["index"] = schedule.indices & INDEX_MASK
        entries["length"] = lengths
        entries["flags"] = schedule.flags
        self._state["next"] = 0
        self._follower.follow()
        while (done := int(self._state["next"])) < count and not self._frames.run(count - done):
            pass
        return int(self._state["next"])
