# SPDX-License-Identifier: GPL-2.0-only
"""How a session moves, from two looks at it."""

from __future__ import annotations

from dataclasses import dataclass

from towline.running.sessions import Session
from towline.wire import INDEX_MASK


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Between two looks; None: nothing moved, or only the other side knows. `gbps`: payload, in 1e9 bits a second."""

    gbps: float | None
    packets_per_ack: float | None
    again_share: float | None


def rates(before: Session, after: Session, seconds: float) -> Rates:
    """`seconds`: between the looks."""
    packets = (after.packets - before.packets) & INDEX_MASK
    acks = after.counters["acks"] - before.counters["acks"]
    again = None
    if before.retransmissions is not None and after.retransmissions is not None and packets:
        again = max(0, after.retransmissions - before.retransmissions) / packets
    return Rates(
        gbps=packets * after.payload_size * 8 / seconds / 1e9 if seconds > 0 else None,
        packets_per_ack=packets / acks if acks > 0 else None,
        again_share=again,
    )
