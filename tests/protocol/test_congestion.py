# SPDX-License-Identifier: GPL-2.0-only
"""Pauses and growth after a full ring."""

from __future__ import annotations

from towline.protocol.congestion import PAUSE_LEAST_US, PAUSE_MOST_US, RingPressure
from towline.protocol.loss import RoundTrip

RTT = RoundTrip.guess(5_000)
FAST = RoundTrip.guess(10)


def test_full__pauses_for_a_round_trip_and_at_least_a_millisecond() -> None:
    for rtt, pause_us in ((RTT, 5_000), (FAST, PAUSE_LEAST_US)):
        pressure = RingPressure(burst=8, window=64)
        assert pressure.paused_until(0) is None
        pressure.full(0, rtt, 100)
        assert pressure.recovering
        assert pressure.paused_until(100) == 100 + pause_us
        assert pressure.paused_until(100 + pause_us) is None
        assert pressure.recovering


def test_full__the_pause_doubles_while_nothing_is_placed() -> None:
    pressure, now, pauses = RingPressure(burst=8, window=64), 0, []
    for _ in range(9):
        pressure.full(7, FAST, now)
        until = pressure.paused_until(now)
        assert until is not None
        pauses.append(until - now)
        now = until
    assert pauses == [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, PAUSE_MOST_US, PAUSE_MOST_US]
    pressure.full(8, FAST, now)
    assert pressure.paused_until(now) == now + PAUSE_LEAST_US


def test_full__many_of_one_burst_are_one() -> None:
    pressure = RingPressure(burst=8, window=64)
    for now in range(100, 110):
        pressure.full(0, RTT, now)
    assert pressure.paused_until(100) == 5_100
    assert pressure.in_flight == 32


def test_sent__the_next_burst_waits_for_another_pause() -> None:
    pressure = RingPressure(burst=8, window=64)
    pressure.sent(50)
    assert pressure.paused_until(50) is None
    pressure.full(0, RTT, 100)
    pressure.sent(5_200)
    assert pressure.paused_until(5_200) == 10_200


def test_passed__forgets_and_lets_a_burst_more_fly_each_round_trip() -> None:
    pressure = RingPressure(burst=8, window=64)
    pressure.full(0, RTT, 0)
    pressure.passed(RTT, 10_000)
    assert pressure.recovering  # a pause and a round trip, and not a moment less
    pressure.passed(RTT, 10_001)
    assert not pressure.recovering
    assert pressure.in_flight == 32
    now, grown = 10_001, []
    while pressure.in_flight is not None:
        now += 5_001
        pressure.passed(RTT, now)
        grown.append(pressure.in_flight)
    assert grown == [40, 48, 56, None]


def test_full__halves_down_to_a_burst() -> None:
    pressure, now, sizes = RingPressure(burst=8, window=64), 0, []
    for _ in range(4):
        pressure.full(0, RTT, now)
        sizes.append(pressure.in_flight)
        now += PAUSE_MOST_US
    assert sizes == [32, 16, 8, 8]
