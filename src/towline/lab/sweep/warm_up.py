# SPDX-License-Identifier: GPL-2.0-only
"""Runs before those that count: they warm the caches, and find how large a file takes as long as the plan says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from towline.lab.plans.plan import Cell
from towline.lab.run import level_of, mtu_for
from towline.settings import NEAR_WINDOW, Settings

Record = Mapping[str, Any]

START_MOST_BYTES = 1 << 20
FIXED_MOST_BYTES = 64 << 20  # of a file whose size is given: enough to warm everything
GROWTH_MOST = 64
ENOUGH_SHARE = 0.25  # of the duration: from a run that takes so long, its speed is known
# What is aimed at beyond the duration: later runs are faster than the first, and none may end up too short to count.
MARGIN_SHARE, MARGIN_MOST_S = 0.25, 0.25
STEP_BYTES = 64 << 10
TRIES_MOST = 8
# A received file stands in memory or on a disk, both of which end; sent and dropped, it may be as large as it likes.
MOST_BYTES = {"file": 2 << 30, "memory": 1 << 40}


def warm_up(cell: Cell, duration_us: int | None, measure: Callable[[int], Record]) -> tuple[int, Record]:
    """The size of a cell's file in bytes, and the record of its last warm-up run; `measure` sends so many bytes.

    A record without `seconds` ends it: that run was refused or has failed, and the size means nothing.
    """
    if cell.size_bytes is not None:
        return cell.size_bytes, measure(min(cell.size_bytes, FIXED_MOST_BYTES))
    assert duration_us is not None  # a plan has one or the other
    duration_s, most = duration_us / 1e6, MOST_BYTES[cell.settings.sink]
    target_s = duration_s + min(MARGIN_SHARE * duration_s, MARGIN_MOST_S)
    size_bytes = start_bytes(cell.settings, duration_s)
    for _ in range(TRIES_MOST):
        record = measure(size_bytes)
        seconds = record["seconds"]
        if not seconds:
            return size_bytes, record
        wanted = size_bytes * target_s / seconds
        if seconds >= ENOUGH_SHARE * duration_s or size_bytes >= most:
            break
        # Half of it at most: what was measured until here is the handshake of a short run, not a speed.
        size_bytes = rounded(min(wanted / 2, GROWTH_MOST * size_bytes, most), cell.settings)
    return rounded(min(wanted, most), cell.settings), record


def start_bytes(settings: Settings, duration_s: float) -> int:
    """What surely takes no longer than about a quarter of the duration."""
    payload = payload_bytes(settings)
    bounds = [float(one) for one in (settings.pace, settings.rate[0]) if one is not None]
    if round_trip_us := sum(settings.delay):
        in_flight = settings.window or NEAR_WINDOW
        if settings.pipelining is not None:
            in_flight = min(in_flight, (settings.pipelining + 1) * settings.ack_every)
        bounds.append(in_flight * payload * 8 / (round_trip_us / 1e6))
    wanted = min((bound * duration_s / 8 * ENOUGH_SHARE / settings.redundancy for bound in bounds), default=1 << 40)
    return rounded(min(wanted, START_MOST_BYTES), settings)


def rounded(size_bytes: float, settings: Settings) -> int:
    """A size that reads well: multiples of 64 KiB, small ones of the payload; at least one packet."""
    step = STEP_BYTES if size_bytes >= STEP_BYTES else payload_bytes(settings)
    return max(1, round(size_bytes / step)) * step


def payload_bytes(settings: Settings) -> int:
    """The payload of a full packet: what is asked for, or what fits the MTU."""
    return settings.payload_size or level_of(settings).largest_payload_bytes(mtu_for(settings))
