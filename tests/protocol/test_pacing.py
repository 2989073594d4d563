# SPDX-License-Identifier: GPL-2.0-only
"""The token bucket: exact averages, worthwhile batches, little saved up."""

from __future__ import annotations

import pytest

from towline.protocol.pacing import BATCH_US, CATCH_UP_US, DEPTH_US, Pace

PACKET_BYTES = 1_500
RATE = 500e6  # 24 us a packet
PACKET_US = 24
PLENTY = 100_000


def send(pace: Pace, wanted: int, now: int) -> int:
    allowed = pace.allow(wanted, PACKET_BYTES, now)
    pace.spent(allowed * PACKET_BYTES)
    return allowed


def busy(pace: Pace, start: int, duration_us: int, late_us: int = 0) -> list[tuple[int, int]]:
    """A lane that always has something to send and wakes so much late: (when, how many)."""
    now, sent = start, []
    while now < start + duration_us:
        count = send(pace, PLENTY, now)
        if count:
            sent.append((now, count))
        else:
            assert pace.ready_us > now
            now = pace.ready_us + late_us
    return sent


@pytest.mark.parametrize("rate", [1e6, 10e6, 123.4e6, 500e6, 10e9])
@pytest.mark.parametrize("start", [0, 10**12])
def test_allow__the_average_is_exact(rate: float, start: int) -> None:
    duration_us = max(100_000, int(8e6 * PACKET_BYTES / rate) * 400)
    frames = sum(count for _, count in busy(Pace(bits_per_second=rate), start, duration_us))
    assert frames * PACKET_BYTES * 8e6 / duration_us == pytest.approx(rate, rel=0.005)


@pytest.mark.parametrize("late_us", [0, 100, CATCH_UP_US - BATCH_US - PACKET_US])
def test_allow__who_comes_late_catches_up(late_us: int) -> None:
    frames = sum(count for _, count in busy(Pace(bits_per_second=RATE), 1_000, 1_000_000, late_us))
    assert frames * PACKET_US == pytest.approx(1_000_000, rel=0.005)


def test_allow__who_comes_very_late_does_not() -> None:
    pace = Pace(bits_per_second=RATE)
    assert send(pace, PLENTY, 1_000) == 0
    assert send(pace, PLENTY, 900_000) == CATCH_UP_US // PACKET_US
    assert send(pace, PLENTY, 900_000) == 0


def test_allow__in_time_a_batch_leaves_at_once_and_no_more() -> None:
    batches = busy(Pace(bits_per_second=RATE), 1_000, 50_000)
    assert {count for _, count in batches} == {BATCH_US // PACKET_US}
    assert batches[-1][0] - batches[-2][0] == BATCH_US // PACKET_US * PACKET_US


def test_allow__an_idle_lane_saves_up_little() -> None:
    pace = Pace(bits_per_second=RATE)
    assert send(pace, 1, 1_000) == 1
    assert send(pace, PLENTY, 900_000) == DEPTH_US // PACKET_US
    assert send(pace, PLENTY, 900_000) == 0
    slow = Pace(bits_per_second=1e6)  # 12 ms a packet
    assert send(slow, 1, 1_000) == 1
    assert send(slow, 9, 900_000) == 2


def test_allow__what_was_held_back_and_is_not_wanted_any_more_saves_up_nothing() -> None:
    pace = Pace(bits_per_second=RATE)
    assert send(pace, PLENTY, 1_000) == 0
    assert send(pace, 0, 2_000) == 0
    assert send(pace, PLENTY, 900_000) == DEPTH_US // PACKET_US


def test_allow__a_few_packets_do_not_wait_to_become_a_batch() -> None:
    pace = Pace(bits_per_second=RATE)
    assert send(pace, 1, 1_000) == 1
    assert send(pace, 3, 1_000) == 0
    assert pace.ready_us == 1_000 + 3 * PACKET_US
    assert send(pace, 3, pace.ready_us - 1) == 0
    assert send(pace, 3, pace.ready_us) == 3


def test_spent__more_than_was_allowed_is_made_up_for() -> None:
    pace = Pace(bits_per_second=RATE)
    assert pace.allow(1, PACKET_BYTES, 1_000) == 1
    pace.spent(11 * PACKET_BYTES)
    assert pace.allow(1, PACKET_BYTES, 1_000) == 0
    assert pace.ready_us == 1_000 + 11 * PACKET_US


def test_batch__is_worth_a_call_and_at_least_one() -> None:
    assert Pace(bits_per_second=RATE).batch(PACKET_BYTES) == 20
    assert Pace(bits_per_second=1e6).batch(PACKET_BYTES) == 1
