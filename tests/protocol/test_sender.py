# SPDX-License-Identifier: GPL-2.0-only
"""One lane's schedule: what leaves when, what leaves again, with which flags, and when to wake."""

from __future__ import annotations

import numpy as np
import pytest

from tests.lane_bench import AGAIN, CHECKSUM, FIRST, FLUSH, RTT_US, Bench, run_of
from towline.protocol.loss import SILENCE_US
from towline.protocol.sender import HOLD_US, Schedule

# ---- new packets


def test_next__a_window_then_flush_and_nothing_more() -> None:
    bench = Bench()
    assert bench.next() == run_of(0, 64, 0, FLUSH)
    assert bench.next() is None
    assert bench.lane.packets == 64


def test_next__bursts_and_flush_on_the_last_of_the_window_only() -> None:
    bench = Bench(burst=24)
    assert bench.next() == run_of(0, 24)
    assert bench.next() == run_of(24, 48)
    assert bench.next() == run_of(48, 64, 0, FLUSH)


def test_next__the_window_moves_with_what_is_drained_and_not_with_what_is_acknowledged() -> None:
    bench = Bench()
    bench.next()
    bench.wait(RTT_US)
    bench.hear(64)
    assert bench.next() is None
    bench.hear(64, drained=32)
    assert bench.next() == run_of(64, 96, 0, FLUSH)


def test_next__checksum_is_on_every_packet_if_asked_for() -> None:
    assert Bench(checksum=True).next() == run_of(0, 64, CHECKSUM, CHECKSUM | FLUSH)


def test_next__flush_on_the_last_packet_of_the_lane() -> None:
    bench = Bench(filled=10, end=10)
    assert bench.next() == run_of(0, 10, 0, FLUSH)
    assert bench.lane.finished_sending
    assert bench.lane.base != bench.lane.end
    bench.hear(10)
    assert bench.lane.base == bench.lane.end


def test_next__waiting_for_the_source_is_no_reason_to_flush() -> None:
    assert Bench(filled=10).next() == run_of(0, 10)


def test_next__stop_and_wait() -> None:
    bench = Bench(pipelining=0, ack_every=1)
    for index in range(5):
        assert bench.next() == ([index], [FLUSH])
        assert bench.next() is None
        bench.wait(RTT_US)
        bench.hear(index + 1)


@pytest.mark.parametrize(("pipelining", "in_flight"), [(0, 8), (1, 16), (3, 32), (100, 64)])
def test_next__pipelining_limits_what_is_not_acknowledged(pipelining: int, in_flight: int) -> None:
    bench = Bench(pipelining=pipelining)
    assert bench.next() == run_of(0, in_flight, 0, FLUSH)
    bench.wait(RTT_US)
    bench.hear(8)
    assert bench.next() == (None if in_flight == 64 else run_of(in_flight, in_flight + 8, 0, FLUSH))


def test_next__a_trickle_waits_to_become_a_burst() -> None:
    bench = Bench()
    bench.next()
    bench.wait(RTT_US // 2)
    bench.hear(60, drained=4)
    assert bench.next() is None
    assert bench.lane.next_wakeup(bench.now) == bench.now + HOLD_US - RTT_US // 2
    bench.wait(HOLD_US - RTT_US // 2)
    assert bench.next() == run_of(64, 68, 0, FLUSH)


def test_sent__what_an_interrupted_burst_left_out_leaves_next() -> None:
    bench = Bench()
    schedule = bench.lane.next(bench.now)
    assert schedule is not None
    bench.lane.sent(schedule, 10, bench.now, bench.now)
    assert bench.lane.packets == 10
    assert bench.next() == run_of(10, 64, 0, FLUSH)
    bench.lane.sent(schedule, 0, bench.now, bench.now)
    assert bench.lane.packets == 64


# ---- lost ones


def test_next__what_later_packets_have_overtaken_leaves_again() -> None:
    bench = Bench(filled=40)
    bench.next()
    sent = bench.now
    bench.wait(RTT_US)
    bench.hear(5, highest=40, missing=(5, 9), shown=sent + RTT_US)
    assert bench.next() == ([5, 9], [AGAIN, AGAIN])
    assert bench.lane.retransmissions == 2
    assert bench.next() is None


def test_next__new_packets_follow_the_lost_in_the_same_burst() -> None:
    bench = Bench(filled=40)
    bench.next()
    sent = bench.now
    bench.wait(RTT_US)
    bench.hear(5, highest=40, missing=(5,), shown=sent + RTT_US)
    bench.lane.filled(FIRST + 64)
    assert bench.next() == ([5, *range(40, 64)], [AGAIN, *[0] * 23, FLUSH])


@pytest.mark.parametrize("shown_after_us", [None, 0, RTT_US // 4 - 1])
def test_next__what_was_not_shown_or_not_overtaken_is_not_lost(shown_after_us: int | None) -> None:
    bench = Bench(filled=40)
    bench.next()
    sent = bench.now
    bench.wait(RTT_US)
    bench.hear(5, highest=40, missing=(5, 9), shown=None if shown_after_us is None else sent + shown_after_us)
    assert bench.next() is None


def test_next__a_lost_retransmission_needs_a_later_echo() -> None:
    bench = Bench(filled=40)
    bench.next()
    sent = bench.now
    bench.wait(RTT_US)
    bench.hear(5, highest=40, missing=(5,), shown=sent + 500)
    assert bench.next() == ([5], [AGAIN])
    again = bench.now
    bench.wait(RTT_US)
    bench.hear(5, highest=40, missing=(5,), shown=again)
    assert bench.next() is None
    bench.hear(5, highest=40, missing=(5,), shown=again + RTT_US // 4)
    assert bench.next() == ([5], [AGAIN])


# ---- NACKs


def test_negative__leaves_again_with_checksum_though_it_was_acknowledged() -> None:
    bench = Bench(filled=40)
    bench.next()
    bench.wait(RTT_US)
    bench.hear(40)
    bench.nack((3, 2), (9, 1))
    assert bench.next() == ([3, 4, 9], [AGAIN | CHECKSUM] * 3)
    assert bench.next() is None


def test_negative__of_what_is_drained_or_was_never_sent_is_nothing() -> None:
    bench = Bench(filled=40)
    bench.next()
    bench.wait(RTT_US)
    bench.hear(40, drained=10)
    bench.nack((0, 10), (40, 5), (1 << 30, 7))
    assert bench.next() is None
    bench.nack((8, 4), (38, 1 << 31))
    assert bench.next() == ([10, 11, 38, 39], [AGAIN | CHECKSUM] * 4)


def test_negative__is_forgotten_when_the_receiver_has_drained_it() -> None:
    bench = Bench(filled=40)
    bench.next()
    bench.wait(RTT_US)
    bench.hear(40)
    bench.nack((3, 2))
    bench.hear(40, drained=4)
    assert bench.next() == ([4], [AGAIN | CHECKSUM])


def test_negative__not_twice_within_a_round_trip() -> None:
    bench = Bench(filled=40)
    bench.next()
    bench.wait(RTT_US)
    bench.hear(40)
    bench.nack((3, 1))
    assert bench.next() is not None
    bench.wait(RTT_US - 1)
    bench.nack((3, 2))
    assert bench.next() == ([4], [AGAIN | CHECKSUM])
    bench.wait(1)
    bench.nack((3, 1))
    assert bench.next() == ([3], [AGAIN | CHECKSUM])


def test_negative__a_lost_packet_and_one_taken_back_share_a_burst() -> None:
    bench = Bench(filled=40)
    bench.next()
    sent = bench.now
    bench.wait(RTT_US)
    bench.hear(20, highest=40, missing=(20, 22), shown=sent + RTT_US)
    bench.nack((4, 1), (22, 1))
    assert bench.next() == ([4, 20, 22], [AGAIN | CHECKSUM, AGAIN, AGAIN | CHECKSUM])


# ---- probes


def test_probe__asks_with_the_last_packet_after_two_round_trips_and_doubles() -> None:
    bench = Bench(filled=40, end=40)
    bench.next()
    start = bench.now
    times: list[int] = []
    while len(times) < 5:
        bench.now = bench.lane.next_wakeup(bench.now)
        assert bench.next() == ([39], [FLUSH | AGAIN])
        times.append(bench.now - start)
    assert times == [2_000, 6_000, 14_000, 30_000, 62_000]
    assert bench.lane.probes == 5


def test_probe__progress_makes_it_eager_again() -> None:
    bench = Bench(filled=40, end=40)
    bench.next()
    for _ in range(3):
        bench.now = bench.lane.next_wakeup(bench.now)
        bench.next()
    bench.hear(12)
    assert bench.lane.next_wakeup(bench.now) == bench.now + 2 * RTT_US


def test_probe__a_shut_window_is_asked_about_less_eagerly() -> None:
    bench = Bench()
    bench.next()
    bench.wait(RTT_US)
    bench.hear(64)
    assert bench.lane.next_wakeup(bench.now) == bench.now + 20_000
    bench.wait(20_000)
    assert bench.next() == ([63], [FLUSH | AGAIN])


def test_probe__silence_is_broken_every_two_seconds() -> None:
    bench = Bench(filled=40, end=40)
    bench.next()
    bench.wait(RTT_US)
    bench.hear(40)
    assert bench.lane.next_wakeup(bench.now) == bench.now + SILENCE_US
    bench.wait(SILENCE_US)
    assert bench.next() == ([39], [FLUSH | AGAIN])


def test_probe__a_lane_without_packets_has_nothing_to_ask() -> None:
    bench = Bench(filled=0, end=0)
    bench.wait(10 * SILENCE_US)
    assert bench.next() is None
    assert bench.lane.next_wakeup(bench.now) > bench.now
    assert bench.lane.finished_sending
    assert bench.lane.base == bench.lane.end


# ---- a full ring


def full(bench: Bench) -> None:
    bench.lane.ring_full(bench.now)


def test_ring_full__nothing_leaves_for_a_pause_then_a_burst_of_what_is_missing() -> None:
    bench = Bench()
    bench.next()
    bench.wait(RTT_US)
    bench.hear(20, drained=16)
    full(bench)
    assert bench.next() is None
    assert bench.lane.next_wakeup(bench.now) == bench.now + RTT_US
    bench.wait(RTT_US)
    bench.hear(20, drained=16)
    assert bench.next() == run_of(20, 28, AGAIN, AGAIN | FLUSH)  # a burst, and nothing new
    assert bench.next() is None
    bench.wait(RTT_US)
    assert bench.next() == run_of(28, 36, AGAIN, AGAIN | FLUSH)  # those of the first may still be on their way


def test_ring_full__what_was_taken_back_leaves_with_the_missing() -> None:
    bench = Bench()
    bench.next()
    bench.wait(RTT_US)
    bench.hear(60)
    bench.nack((2, 2))
    full(bench)
    bench.wait(RTT_US)
    assert bench.next() == ([2, 3, 60, 61, 62, 63], [AGAIN | CHECKSUM] * 2 + [AGAIN] * 3 + [AGAIN | FLUSH])


def test_ring_full__afterwards_less_flies_lost_ones_included() -> None:
    bench = Bench(window=256)
    bench.next()
    sent = bench.now
    bench.wait(RTT_US)
    full(bench)
    bench.wait(2 * RTT_US + 1)
    bench.hear(10, highest=256, missing=tuple(range(10, 250)), shown=sent + RTT_US)
    burst = bench.next()
    assert burst is not None
    assert burst[0] == list(range(10, 10 + 128))
    assert burst[1][-1] == AGAIN | FLUSH


def test_ring_full__a_burst_is_not_longer_than_bursts_are() -> None:
    bench = Bench(ack_every=16, burst=4)
    for _ in range(16):
        bench.next()
    bench.wait(RTT_US)
    full(bench)
    bench.wait(RTT_US + RTT_US // 4)
    burst = bench.next()
    assert burst is not None
    assert len(burst[0]) == 4


def test_next_wakeup__is_never_now_while_nothing_is_to_be_sent() -> None:
    bench = Bench()
    bench.next()
    bench.wait(RTT_US)
    bench.hear(32, drained=32)
    full(bench)
    for _ in range(20):
        while bench.next() is not None:
            pass
        wakeup = bench.lane.next_wakeup(bench.now)
        assert wakeup > bench.now
        bench.now = wakeup


# ---- what is known


def test_acknowledged__limit_stays_within_a_window_of_base() -> None:
    bench = Bench(window=64)
    bench.next()
    bench.wait(RTT_US)
    bench.hear(10, drained=40)  # the receiver has drained 40; this side's ring has told of 10
    assert bench.lane.limit == FIRST + 74
    bench.hear(64, drained=40)
    assert bench.lane.limit == FIRST + 104


def test_filled__the_end_is_not_forgotten() -> None:
    bench = Bench(filled=5, end=5)
    bench.lane.filled(FIRST + 5)
    bench.next()
    assert bench.lane.finished_sending


def test_schedule__has_a_length() -> None:
    assert len(Schedule(indices=np.arange(3), flags=np.zeros(3, np.uint16))) == 3
