# SPDX-License-Identifier: GPL-2.0-only
"""Transmit `live`: frames leave from an XDP program run on live frames, payload straight from mapped memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from towline.errors import UnsupportedError
from towline.kernel.link import Interface, xdp_features
from towline.kernel.live import LiveFrames
from towline.protocol.sender import Schedule
from towline.wire import INDEX_MASK

BATCH_FRAMES = 64


def require_live_frames(interface: Interface) -> None:
    """Raises UnsupportedError where the driver says that it cannot send redirected frames: they vanish silently."""
    features = xdp_features(interface.index)
    if features is not None and "ndo-xmit" not in features:
        raise UnsupportedError(
            f"sending live frames through {interface.name}",
            "a driver with ndo_xdp_xmit (its peer, if it is a veth, with GRO on or a native XDP program)",
        )


class LiveBursts:
    """One lane's. `state`: its struct sender_state, `entries`: of its struct schedule, both mapped."""

    def __init__(self, *, state: Any, entries: NDArray[Any], frames: LiveFrames) -> None:
        self._state = state
        self._entries = entries
        self._frames = frames

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
        while (done := int(self._state["next"])) < count and not self._frames.run(count - done):
            pass
        return int(self._state["next"])
