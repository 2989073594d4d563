# SPDX-License-Identifier: GPL-2.0-only
"""Schedules by seed: every knob of a transfer, and every fault of a path, drawn at random."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from tests.fake_path import Impairment
from tests.pair import Plan
from towline.protocol.receiver import packets_per_block
from towline.settings import largest_block_bytes

ENTRY_BYTES = 60  # about what stands in a stream before the file
PLENTY = 1 << 30


def random_plan(seed: int, *, packets: int = 150) -> Plan:
    """A schedule of about so many packets at most, whose path works in the long run."""
    rng = Random(seed)
    window = rng.choice((64, 64, 128, 256, 1024))
    receiver_window = rng.choice((None, None, 64, 128))
    payload_size = rng.choice((7, 30, 100, 100, 250))
    block_bytes = rng.choice((1, 50, 500, 1500, 1 << 20))
    pipelining = rng.choice((None, None, None, 0, 1, 3))
    ack_every = rng.choice((1, 2, 8, 16, 32, 200))
    if pipelining is not None and ack_every < 8:
        packets //= 3  # a round trip for each
    delay_us = rng.choice((5, 50, 50, 500, 20_000))
    granted = min(window, receiver_window or window)
    later = Random(seed + 2_000_003)  # so that a seed keeps the rest of its schedule
    return Plan(
        seed=seed,
        size_bytes=_size(rng, packets, payload_size, min(block_bytes, largest_block_bytes(granted, payload_size))),
        payload_size=payload_size,
        ack_every=ack_every,
        window=window,
        receiver_window=receiver_window,
        block_bytes=block_bytes,
        lanes=rng.choice((1, 1, 2, 3)),
        pipelining=pipelining,
        checksum=rng.random() < 0.4,
        delivery=rng.choice(("direct", "ring")),
        first_index=rng.choice((0, 0, 1, 2**32 - 1, 2**32 - 50, 2**32 - 200, 2**31 - 10, 2 * 65536 - 50)),
        burst=rng.choice((8, 64, 2048)),
        redundancy=later.choice((1, 1, 1, 1, 2, 3)),
        pace_bps=later.choice((None, None, None, 1e6, 20e6, 1e9)),
        start_us=rng.choice((1000, 10**9, 2**32 - 500, 2**32 - 20_000)),
        forward=_impairment(rng, delay_us),
        backward=_impairment(rng, delay_us),
        ring_records=rng.choice((PLENTY, PLENTY, 100, 20, 5)),
        sender_records=rng.choice((PLENTY, PLENTY, 1000, 100, 30)),
        short_every=rng.choice((0, 0, 0, 100, 10)),
        sender_packet_us=rng.choice((0, 0, 1, 7)),
        interrupted=rng.choice((0, 0, 0.1)),
        sender_poll_us=rng.choice((5, 20, 200)),
        receiver_poll_us=rng.choice((5, 50, 500, 5000)),
    )


def darkened(plan: Plan) -> tuple[Plan, int]:
    """The schedule with a black hole in one direction or both; and how long it lasts (microseconds)."""
    rng = Random(plan.seed + 1_000_003)
    start_us = rng.choice((0, 100, 90_000, 100_000, 101_000, 105_000, 150_000, rng.randrange(400_000)))
    duration_us = rng.choice((300_000, 3_000_000, 8_000_000, 10**9))
    where = rng.choice(("both", "forward", "backward"))
    dark = ((start_us, start_us + duration_us),)
    forward, backward = plan.forward, plan.backward
    if where != "backward":
        forward = replace(forward, dark=dark)
    if where != "forward":
        backward = replace(backward, dark=dark)
    return replace(plan, forward=forward, backward=backward), duration_us


def heavily_corrupted(plan: Plan) -> Plan:
    """The schedule with damage by scattered flips, some of which the 16-bit sum of a message's body misses."""
    forward, backward = (
        replace(one, corruption=0.1, heavy=True, loss=min(one.loss, 0.05)) for one in (plan.forward, plan.backward)
    )
    return replace(plan, forward=forward, backward=backward)


def _impairment(rng: Random, delay_us: int) -> Impairment:
    return Impairment(
        loss=rng.choice((0, 0, 0.01, 0.05, 0.2)),
        duplication=rng.choice((0, 0, 0.02, 0.2)),
        reordering=rng.choice((0, 0, 0.05, 0.3)),
        reordering_us=rng.choice((50, 500, 5000)),
        corruption=rng.choice((0, 0, 0, 0.01, 0.05)),
        delay_us=delay_us,
        packet_us=rng.choice((0, 1, 1, 5)),
    )


def _size(rng: Random, packets: int, payload_size: int, block_bytes: int) -> int:
    """Bytes of a file: nothing, a byte, about a block, or up to so many packets."""
    room = max(0, packets * block_bytes // packets_per_block(block_bytes, payload_size) - ENTRY_BYTES)
    around = max(0, block_bytes - ENTRY_BYTES + rng.randrange(30))
    return min(room, rng.choice((0, 1, around, room, room, rng.randrange(room + 1))))
