# SPDX-License-Identifier: GPL-2.0-only
"""The sessions that a program serves, read from its memory; nothing is written."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from towline.framing import LEVELS
from towline.kernel.attached import Program
from towline.kernel.memory import ring_fill
from towline.kernel.objects import open_map
from towline.kernel.successor import states
from towline.protocol import acknowledgement, placement
from towline.transmit.lane import BURST_MOST
from towline.wire import DELIVERIES, INDEX_MASK

RECEIVER_COUNTERS = placement.COUNTERS
SENDER_COUNTERS = ("sent", "useless", *acknowledgement.COUNTERS)


@dataclass(frozen=True, kw_only=True)
class Session:
    """One lane as its program sees it at one moment. What the other side alone knows is None."""

    number: int
    level: str
    delivery: str
    payload_size: int
    window: int
    served_by: int  # the version of the program that took its last packet; 0: none has come
    packets: int  # that have arrived for the first time, or, at a sender, are acknowledged
    outstanding: int  # slots of the window in use
    ring_fill: float | None  # 0 to 1: the share of its ring buffer in use; None: it has none
    rtt_us: int | None
    retransmissions: int | None
    counters: dict[str, int]


def sessions(program: Program) -> list[Session]:
    """Those that are open now."""
    read = _receiving if program.name == "receiver" else _sending
    return [read(state, _ring_fill(program, row)) for row, state in enumerate(states(program)) if state["session"]]


_RINGS = {"receiver": "records", "sender": "acknowledgements"}


def _ring_fill(program: Program, row: int) -> float | None:
    rings = program.map(_RINGS[program.name])
    number = rings.get(row.to_bytes(4, sys.byteorder)) if rings else None
    if number is None:
        return None
    try:
        with open_map(int.from_bytes(number, sys.byteorder)) as ring:
            return ring_fill(ring)
    except FileNotFoundError:  # the session has ended meanwhile
        return None


def _receiving(state: Any, fill: float | None) -> Session:
    counters = {name: int(state[name]) for name in RECEIVER_COUNTERS}
    return Session(
        **_same(state),
        ring_fill=fill,
        packets=counters["placed"],
        outstanding=_ahead(state["highest"], state["drained"]),
        rtt_us=None,
        retransmissions=None,
        counters=counters,
    )


def _sending(state: Any, fill: float | None) -> Session:
    counters = {name: int(state[name]) for name in SENDER_COUNTERS}
    first, drained = int(state["first"]), int(state["limit"]) - int(state["window"])
    return Session(
        **_same(state),
        ring_fill=fill,
        packets=(int(state["base"]) - first) & INDEX_MASK,
        outstanding=_ahead(state["sent_end"], drained),
        rtt_us=int(state["rtt_us"]) if state["rtt_samples"] else None,
        retransmissions=_retransmissions(state),
        counters=counters,
    )


def _retransmissions(state: Any) -> int | None:
    """None where packets leave by a socket, and the program does not count them."""
    copies, sent = max(1, int(state["copies"])), int(state["sent"])
    first_time = copies * ((int(state["sent_end"]) - int(state["first"])) & INDEX_MASK)
    # What is scheduled has not left yet, a burst at most.
    if (first_time and not sent) or 0 < _ahead(first_time, sent) > BURST_MOST:
        return None
    return _ahead(sent, first_time) // copies


def _same(state: Any) -> dict[str, Any]:
    return {
        "number": int(state["session"]),
        "level": _LEVELS.get(int(state["level"]), "?"),
        "delivery": DELIVERIES[int(state["delivery"]) % len(DELIVERIES)],
        "payload_size": int(state["payload_size"]),
        "window": int(state["window"]),
        "served_by": int(state["served_by"]),
    }


def _ahead(end: Any, start: Any) -> int:
    """Indices wrap; and while they are read, they move."""
    ahead = (int(end) - int(start)) & INDEX_MASK
    return ahead if ahead < 1 << 31 else 0


_LEVELS = {level.number: level.name for level in LEVELS.values()}
