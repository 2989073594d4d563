# SPDX-License-Identifier: GPL-2.0-only
"""Round trips, the reordering window, what is lost, and when to ask."""

from __future__ import annotations

import numpy as np
import pytest

from towline.protocol.loss import (
    NEVER_US,
    PROBE_LEAST_US,
    PROBE_MOST_US,
    REORDERING_LEAST_US,
    ROUNDS_TO_FORGET,
    RTT_MOST_US,
    SILENCE_US,
    WINDOW_PROBE_LEAST_US,
    Reordering,
    RoundTrip,
    lost,
    overdue_us,
    probe_after_us,
    probe_at_us,
    spread,
)


def test_sample__the_first_replaces_the_guess_and_others_are_smoothed() -> None:
    rtt = RoundTrip.guess(50_000)
    rtt.sample(1_000, 1)
    assert (rtt.smoothed_us, rtt.least_us) == (1_000, 1_000)
    rtt.sample(1_800, 2)
    assert (rtt.smoothed_us, rtt.least_us) == (1_100, 1_000)
    rtt.sample(300, 3)
    assert (rtt.smoothed_us, rtt.least_us) == (1_000, 300)


@pytest.mark.parametrize(("us", "samples"), [(9_000, 1), (0, 2), (RTT_MOST_US, 2), (-5, 2)])
def test_sample__nothing_new_or_impossible_changes_nothing(us: int, samples: int) -> None:
    rtt = RoundTrip.guess(50_000)
    rtt.sample(1_000, 1)
    rtt.sample(us, samples)
    assert rtt == RoundTrip(smoothed_us=1_000, least_us=1_000, samples=1)


def test_window_us__is_a_quarter_of_the_least_round_trip_within_bounds() -> None:
    reordering = Reordering()
    assert reordering.window_us(RoundTrip(smoothed_us=9_000, least_us=8_000)) == 2_000
    assert reordering.window_us(RoundTrip(smoothed_us=100, least_us=100)) == REORDERING_LEAST_US


def test_useless__widens_once_a_round_trip_up_to_a_round_trip_and_is_forgotten() -> None:
    reordering, rtt = Reordering(), RoundTrip(smoothed_us=10_000, least_us=8_000)
    now, widths = 100_000, []
    for count in range(1, 8):
        reordering.useless(count, count, rtt, now)
        reordering.useless(count, count, rtt, now + 1)  # the same again: nothing new
        widths.append(reordering.window_us(rtt))
        now += 10_001
    assert widths == [4_000, 6_000, 8_000, 10_000, 10_000, 10_000, 10_000]
    for _ in range(20):
        now += ROUNDS_TO_FORGET * rtt.smoothed_us + 1
        reordering.useless(7, 7, rtt, now)
    assert reordering.window_us(rtt) == 2_000


def test_useless__many_at_once_widen_by_one_step() -> None:
    reordering, rtt = Reordering(), RoundTrip(smoothed_us=10_000, least_us=8_000)
    reordering.useless(50, 50, rtt, 100_000)
    reordering.useless(90, 90, rtt, 105_000)
    assert reordering.window_us(rtt) == 4_000


def test_useless__a_few_among_many_retransmissions_are_no_reason() -> None:
    reordering, rtt = Reordering(), RoundTrip(smoothed_us=10_000, least_us=8_000)
    reordering.useless(10, 80, rtt, 100_000)
    assert reordering.window_us(rtt) == 2_000
    reordering.useless(21, 160, rtt, 200_000)
    assert reordering.window_us(rtt) == 4_000


def test_probed__excuses_one_useless_packet() -> None:
    reordering, rtt = Reordering(), RoundTrip(smoothed_us=10_000, least_us=8_000)
    reordering.probed()
    reordering.useless(1, 1, rtt, 100_000)
    assert reordering.window_us(rtt) == 2_000
    reordering.useless(2, 2, rtt, 200_000)
    assert reordering.window_us(rtt) == 4_000


@pytest.mark.parametrize(
    ("sent_us", "shown_us", "is_lost"),
    [
        (1_000, 1_100, True),  # a packet sent exactly the window later has been seen
        (1_000, 1_099, False),
        (1_000, 1_000, False),  # the same stamp
        (1_000, 0, False),  # shown before it was sent: an ACK of another lap
        (1_000, -(1 << 62), False),  # never shown: unknown, not lost
    ],
)
def test_lost__what_a_later_packet_has_overtaken(sent_us: int, shown_us: int, is_lost: bool) -> None:
    found = lost(np.array([7]), np.array([sent_us]), np.array([shown_us]), 100)
    assert found.tolist() == ([7] if is_lost else [])


def test_lost__keeps_the_order_of_many() -> None:
    missing = np.array([3, 9, 70, 130])
    found = lost(missing, np.array([10, 500, 10, 10]), np.array([300, 300, 40, 300]), 50)
    assert found.tolist() == [3, 130]


@pytest.mark.parametrize(
    ("unanswered", "window_shut", "smoothed_us", "expected_us"),
    [
        (True, False, 10_000, 20_000),
        (True, True, 10_000, 20_000),
        (True, False, 100, PROBE_LEAST_US),
        (False, True, 100, WINDOW_PROBE_LEAST_US),
        (False, True, 50_000, 100_000),
        (False, False, 100, SILENCE_US),
    ],
)
def test_probe_after_us__what_the_sender_waits_for(
    unanswered: bool, window_shut: bool, smoothed_us: int, expected_us: int
) -> None:
    rtt = RoundTrip.guess(smoothed_us)
    assert probe_after_us(unanswered=unanswered, window_shut=window_shut, rtt=rtt, probes=0) == expected_us


def test_probe_after_us__doubles_up_to_a_limit() -> None:
    def after(smoothed_us: int, probes: int) -> int:
        return probe_after_us(unanswered=True, window_shut=False, rtt=RoundTrip.guess(smoothed_us), probes=probes)

    assert [after(10_000, n) for n in range(6)] == [20_000, 40_000, 80_000, 160_000, PROBE_MOST_US, PROBE_MOST_US]
    assert after(10_000, 10_000) == PROBE_MOST_US
    assert after(1_000_000, 5) == 2_000_000  # a long path is not asked more often than it can answer


@pytest.mark.parametrize(
    ("shown_us", "due_us"),
    [(7_000, 25_000), (5_000, 25_000), (4_999, NEVER_US), (-(1 << 62), NEVER_US)],
)
def test_overdue_us__a_round_trip_and_the_window_after_what_an_ack_has_shown(shown_us: int, due_us: int) -> None:
    rtt = RoundTrip.guess(16_000)
    assert overdue_us(np.array([5_000]), np.array([shown_us]), 4_000, rtt).tolist() == [due_us]


def test_overdue_us__never_on_a_short_path() -> None:
    rtt = RoundTrip.guess(PROBE_LEAST_US - 1)
    assert overdue_us(np.array([5_000]), np.array([9_000]), 100, rtt).tolist() == [NEVER_US]


@pytest.mark.parametrize(
    ("unanswered", "heard_us", "at_us"),
    [
        (True, 0, 120_000),  # two round trips after what was sent last
        (True, 110_000, 120_000),  # an answer to something older
        (True, 130_000, 140_000),
        (False, 130_000, 150_000),  # nothing to be answered: the window is shut
    ],
)
def test_probe_at_us__what_is_heard_speaks_of_a_round_trip_ago(unanswered: bool, heard_us: int, at_us: int) -> None:
    rtt = RoundTrip.guess(10_000)
    found = probe_at_us(unanswered=unanswered, window_shut=True, rtt=rtt, probes=0, sent_us=100_000, heard_us=heard_us)
    assert found == at_us


def test_spread__over_the_time_of_a_burst() -> None:
    assert spread(100, 140, 4).tolist() == [110, 120, 130, 140]
    assert spread(100, 100, 2).tolist() == [100, 100]
    assert spread(100, 140, 0).tolist() == []
