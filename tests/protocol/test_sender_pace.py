# SPDX-License-Identifier: GPL-2.0-only
"""One lane's schedule with copies, at a pace, and at the tail of a long path."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lane_bench import AGAIN, CHECKSUM, FIRST, FLUSH, RTT_US, Bench, run_of
from towline.protocol.pacing import Pace
from towline.protocol.sender import HOLD_US

# ---- redundancy


def test_next__copies_follow_the_whole_burst_and_flush_is_on_the_very_last() -> None:
    bench = Bench(filled=4, end=4, redundancy=3)
    assert bench.next() == ([0, 1, 2, 3] * 3, [0] * 11 + [FLUSH])
    assert (bench.lane.packets, bench.lane.redundant_copies) == (4, 8)


def test_next__copies_of_a_retransmission_do_not_count_as_retransmissions() -> None:
    bench = Bench(filled=40, redundancy=2)
    bench.next()
    sent = bench.now
    bench.wait(RTT_US)
    bench.hear(5, highest=40, missing=(5, 9), shown=sent + RTT_US)
    bench.nack((9, 1))
    assert bench.next() == ([5, 9, 5, 9], [AGAIN, AGAIN | CHECKSUM, 0, CHECKSUM])
    assert (bench.lane.retransmissions, bench.lane.redundant_copies) == (2, 42)
    assert bench.next() is None


def test_next__a_burst_holds_its_copies() -> None:
    bench = Bench(burst=32, redundancy=3)
    assert bench.next() == ([*range(10)] * 3, [0] * 30)


@pytest.mark.parametrize(
    ("count", "packets", "copies"), [(0, 0, 0), (9, 9, 0), (10, 10, 0), (11, 10, 1), (29, 10, 19), (30, 10, 20)]
)
def test_sent__an_interrupted_burst_counts_what_has_left(count: int, packets: int, copies: int) -> None:
    bench = Bench(filled=10, redundancy=3)
    schedule = bench.lane.next(bench.now)
    assert schedule is not None
    bench.lane.sent(schedule, count, bench.now, bench.now)
    assert (bench.lane.packets, bench.lane.redundant_copies) == (packets, copies)
    bench.wait(HOLD_US)
    rest = bench.next()
    assert rest == (None if packets == 10 else ([*range(packets, 10)] * 3, [0] * 3 * (10 - packets)))


def test_sent__a_packet_is_lost_when_its_last_copy_is_overtaken() -> None:
    bench = Bench(filled=40, redundancy=2)
    schedule = bench.lane.next(bench.now)
    assert schedule is not None
    start, end = bench.now, bench.now + 8_000  # packet i at 100 * (i + 1), its copy 4000 later
    bench.lane.sent(schedule, len(schedule), start, end)
    bench.now = end
    window_us = RTT_US // 4
    bench.hear(5, highest=40, missing=(5, 9), shown=start + 4_600 + window_us)
    assert bench.next() == ([5, 5], [AGAIN, 0])


def test_probe__is_sent_as_often_as_any_packet() -> None:
    bench = Bench(filled=40, end=40, redundancy=2)
    bench.next()
    bench.now = bench.lane.next_wakeup(bench.now)
    assert bench.next() == ([39, 39], [AGAIN, FLUSH])


# ---- pace

PACED_US = 20  # a packet
FRAME_BYTES = 1_000


def paced(**more: Any) -> Bench:
    return Bench(pace=Pace(bits_per_second=FRAME_BYTES * 8e6 / PACED_US), frame_bytes=FRAME_BYTES, **more)


def play(bench: Bench, until_us: int) -> list[tuple[int, list[int], list[int]]]:
    """What leaves when (since the beginning), where nothing is heard."""
    start, sent = bench.now, []
    while bench.now < start + until_us:
        burst = bench.next()
        if burst is not None:
            sent.append((bench.now - start, *burst))
        else:
            bench.now = bench.lane.next_wakeup(bench.now)
    return sent


def test_pace__batches_leave_as_they_become_due_and_nothing_is_asked_meanwhile() -> None:
    bench = paced(filled=60)
    assert play(bench, 1_500) == [
        (24 * PACED_US, *run_of(0, 25)),
        (49 * PACED_US, *run_of(25, 50)),
        (59 * PACED_US, *run_of(50, 60)),
    ]
    assert bench.lane.probes == 0


def test_pace__flush_is_on_the_last_before_the_receiver_must_answer_only() -> None:
    flags = [flag for _, _, marks in play(paced(), 1_500) for flag in marks]
    assert flags == [0] * 63 + [FLUSH]


def test_pace__lost_ones_leave_before_new_ones() -> None:
    bench = paced(filled=20)
    play(bench, 500)
    sent = bench.now
    bench.wait(RTT_US)
    bench.hear(2, highest=20, missing=(2, 4), shown=sent + RTT_US)
    bench.lane.filled(FIRST + 64)
    bench.next()
    bench.wait(2 * PACED_US)  # tokens, and the lost ones go first
    bench.hear(2, highest=20, missing=(2, 4), shown=sent + RTT_US)
    sent_now = [index for _, indices, _ in play(bench, 1_000) for index in indices]
    assert bench.lane.retransmissions == 2
    assert sent_now == sorted(sent_now)


def test_pace__counts_copies() -> None:
    bench = paced(filled=60, redundancy=2)
    sent = play(bench, 2_500)
    assert [len(indices) for _, indices, _ in sent] == [24, 24, 24, 24, 24]
    assert [when for when, _, _ in sent][-1] == pytest.approx(120 * PACED_US, abs=2 * PACED_US)


def test_pace__slower_than_the_round_trip_asks_nothing() -> None:
    bench = Bench(pace=Pace(bits_per_second=1e6), frame_bytes=1_500, filled=20)  # 12 ms a packet, 1 ms a round trip
    sent = play(bench, 20 * 12_000)
    assert [indices for _, indices, _ in sent[:20]] == [[index] for index in range(20)]
    assert bench.lane.probes == 0


def test_pace__stop_and_wait() -> None:
    bench = paced(pipelining=0, ack_every=1)
    for index in range(5):
        assert bench.next() == ([index], [FLUSH])
        assert bench.next() is None
        bench.wait(RTT_US)
        bench.hear(index + 1)


# ---- the tail of a long path

LONG_US = 50_000


def long_path() -> Bench:
    """All of 40 packets sent over a path of 50 ms, and a round trip has passed."""
    bench = Bench(filled=40, end=40, rtt_us=LONG_US)
    bench.next()
    bench.wait(LONG_US)
    return bench


def test_overdue__at_the_tail_a_missing_packet_is_lost_after_a_round_trip_and_the_window() -> None:
    bench = long_path()
    sent = bench.now - LONG_US
    bench.hear(5, highest=40, missing=(5,), shown=sent)
    assert bench.next() is None
    bench.now = bench.lane.next_wakeup(bench.now)
    assert bench.now - sent == LONG_US + LONG_US // 4
    assert bench.next() == ([5], [AGAIN | FLUSH])
    assert bench.lane.probes == 0


def test_overdue__what_was_not_shown_since_it_left_waits_for_the_probe() -> None:
    bench = long_path()
    sent = bench.now - LONG_US
    bench.hear(5, highest=40, missing=(5,), shown=sent - 1)
    assert bench.next() is None
    bench.now = bench.lane.next_wakeup(bench.now)
    assert bench.now - sent == 2 * LONG_US
    assert bench.next() == ([39], [AGAIN | FLUSH])


def test_overdue__not_while_new_packets_will_show_it() -> None:
    bench = Bench(filled=40, rtt_us=LONG_US)
    bench.next()
    sent = bench.now
    bench.wait(2 * LONG_US - 1)
    bench.hear(5, highest=40, missing=(5,), shown=sent)
    assert bench.next() is None
