# SPDX-License-Identifier: GPL-2.0-only
"""What the receiving process decides: which blocks are whole, what is asked for again, when a lane is done."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from towline.errors import IntegrityError
from towline.protocol.receiver import (
    NACK_FIRST_US,
    NACK_MOST_US,
    Asking,
    LaneReceiver,
    Span,
    Stream,
    packets_per_block,
)
from towline.protocol.window import NO_INDICES, Indices

FIRST = (1 << 32) - 5  # spans that wrap
OPEN = Stream(block_bytes=376, payload_size=100)  # 4 packets a block: 376 bytes and 24 of trailer


def known(stream_bytes: int) -> Stream:
    return Stream(block_bytes=376, payload_size=100, stream_bytes=stream_bytes)


def lane(packets: int | None = None, stream_bytes: int = 0) -> LaneReceiver:
    made = LaneReceiver(first=FIRST, stream=OPEN, rtt_us=0)
    if packets is not None:
        made.finished(packets, known(stream_bytes))
    return made


def spans(receiver: LaneReceiver, ready: int, highest: int | None = None, wanted: tuple[int, ...] = ()) -> list[Span]:
    top = ready if highest is None else highest
    return receiver.placed(FIRST + ready, FIRST + top, np.array([FIRST + i for i in wanted], np.int64))


def span(first: int, end: int, *sizes: int) -> Span:
    return Span(first=FIRST + first, end=FIRST + end, sizes=sizes)


@pytest.mark.parametrize(
    ("block_bytes", "payload_size", "packets"), [(376, 100, 4), (377, 100, 5), (1, 100, 1), (1, 1, 25), (76, 100, 1)]
)
def test_packets_per_block__with_the_trailer(block_bytes: int, payload_size: int, packets: int) -> None:
    assert packets_per_block(block_bytes, payload_size) == packets


@given(st.integers(1, 10_000), st.integers(1, 100_000))
def test_stream__its_blocks_add_up(block_bytes: int, stream_bytes: int) -> None:
    stream = Stream(block_bytes=block_bytes, payload_size=1, stream_bytes=stream_bytes)
    assert stream.blocks is not None
    assert sum(stream.bytes_of(number) for number in range(min(stream.blocks, 50))) == min(
        stream_bytes, 50 * block_bytes
    )
    assert 1 <= stream.bytes_of(stream.blocks - 1) <= block_bytes


# ---- blocks


def test_placed__whole_blocks_only_and_all_of_them() -> None:
    receiver = lane()
    assert spans(receiver, 3) == []
    assert spans(receiver, 4) == [span(0, 4, 376)]
    assert spans(receiver, 11) == [span(0, 4, 376), span(4, 8, 376)]


def test_placed__a_block_that_is_not_answered_is_offered_again() -> None:
    receiver = lane()
    assert spans(receiver, 4) == spans(receiver, 4)


def test_verified__drains_in_order_whatever_order_blocks_come_in() -> None:
    receiver = lane()
    first, second, third = spans(receiver, 12)
    assert receiver.verified(second) == FIRST
    assert spans(receiver, 12) == [first, third]
    assert receiver.verified(first) == FIRST + 8
    assert receiver.verified(third) == FIRST + 12
    assert spans(receiver, 12) == []


def test_placed__not_while_a_packet_of_it_is_wanted() -> None:
    receiver = lane()
    assert spans(receiver, 8, wanted=(3,)) == [span(4, 8, 376)]
    assert spans(receiver, 8, wanted=(4,)) == [span(0, 4, 376)]
    assert spans(receiver, 8, wanted=(0, 7)) == []


def test_placed__a_short_last_block_is_known_from_fin_only() -> None:
    receiver = lane()
    assert spans(receiver, 6) == [span(0, 4, 376)]
    receiver.finished(6, known(376 + 150))
    assert spans(receiver, 6) == [span(0, 4, 376), span(4, 6, 150)]


def test_placed__a_last_block_of_as_many_packets_may_be_either() -> None:
    receiver = lane(8, 376 + 350)
    assert spans(receiver, 8) == [span(0, 4, 376), span(4, 8, 376, 350)]
    # Another lane has the stream's last block: this one's is whole, and its first guess is right.
    assert spans(lane(4, 376 + 350), 4) == [span(0, 4, 376, 350)]


def test_placed__a_whole_stream_has_whole_blocks() -> None:
    assert spans(lane(8, 2 * 376), 8) == [span(0, 4, 376), span(4, 8, 376)]


def test_is_damaged__not_while_it_may_be_the_short_last_one() -> None:
    receiver = lane()
    (block,) = spans(receiver, 4)
    assert not receiver.is_damaged(block, FIRST + 4)
    assert receiver.is_damaged(block, FIRST + 5)  # something stands behind it
    receiver.finished(4, known(350))
    assert receiver.is_damaged(block, FIRST + 4)


@given(st.integers(1, 4000), st.integers(1, 400), st.integers(1, 120))
def test_placed__one_lane_s_spans_fit_the_stream(stream_bytes: int, block_bytes: int, payload_size: int) -> None:
    stream = Stream(block_bytes=block_bytes, payload_size=payload_size, stream_bytes=stream_bytes)
    assert stream.blocks is not None
    packets = sum(packets_per_block(stream.bytes_of(n), payload_size) for n in range(stream.blocks))
    receiver = LaneReceiver(first=0, stream=stream, rtt_us=0)
    receiver.finished(packets, stream)
    found = receiver.placed(packets, packets, NO_INDICES)
    assert len(found) == stream.blocks
    assert all(stream.bytes_of(number) in one.sizes for number, one in enumerate(found))
    for one in found:
        receiver.verified(one)
    assert receiver.done


# ---- the end


def test_done__when_all_is_drained_and_the_end_is_known() -> None:
    receiver = lane()
    receiver.verified(spans(receiver, 4)[0])
    assert not receiver.done
    receiver.finished(4, known(376))
    assert receiver.done
    assert lane(0, 376).done  # a lane that came too late for a block


def test_finished__may_be_said_again() -> None:
    receiver = lane(4, 376)
    receiver.finished(4, known(376))
    assert receiver.end == FIRST + 4


@pytest.mark.parametrize(
    ("packets", "stream_bytes"),
    [
        (5, 376),  # more than the stream
        (8, 376),
        (3, 376),  # no whole number of blocks
        (6, 376 + 50),  # a last block of another length
        (4, 0),
        (0, 0),
    ],
)
def test_finished__an_end_that_does_not_add_up(packets: int, stream_bytes: int) -> None:
    with pytest.raises(IntegrityError):
        lane(packets, stream_bytes)


def test_finished__two_ends_or_one_that_has_passed() -> None:
    receiver = lane(8, 8 * 376)
    with pytest.raises(IntegrityError):
        receiver.finished(4, known(8 * 376))
    receiver = lane()
    receiver.verified(spans(receiver, 4)[0])
    with pytest.raises(IntegrityError):
        receiver.finished(0, known(376))


# ---- NACKs


def asked(asking: Asking, wanted: list[int], now: int) -> list[int]:
    asked_for: list[int] = asking.next(indices(wanted), now).tolist()
    return asked_for


def indices(values: list[int]) -> Indices:
    return np.array(values, np.int64)


def test_asking__at_once_and_again_ever_more_patiently() -> None:
    asking = Asking(0)
    times = [now for now in range(0, 3_000_000, 1_000) if asked(asking, [5, 6], now)]
    assert times == [0, 20_000, 60_000, 140_000, 300_000, 620_000, 1_260_000, 2_260_000]
    assert times[-1] - times[-2] == NACK_MOST_US


def test_asking__what_is_new_at_once_and_alone() -> None:
    asking = Asking(0)
    assert asked(asking, [5], 0) == [5]
    assert asked(asking, [5, 9], 100) == [9]
    assert asked(asking, [5, 9], 200) == []
    assert asked(asking, [5, 9], NACK_FIRST_US) == [5, 9]


def test_asking__as_long_as_something_comes_it_stays_eager() -> None:
    asking, now, wanted = Asking(0), 0, list(range(40))
    asked(asking, wanted, now)
    while wanted:
        now += 5_000
        wanted.pop(0)
        assert asked(asking, wanted, now) == []
    now += NACK_FIRST_US
    assert asked(asking, [100, 101], now) == [100, 101]
    now += 5_000
    assert asked(asking, [101], now) == []
    assert asked(asking, [101], now + NACK_FIRST_US - 1) == []
    assert asked(asking, [101], now + NACK_FIRST_US) == [101]


def test_asking__waits_for_twice_the_response_time_once_it_knows_it() -> None:
    asking = Asking(0)
    asked(asking, [1], 0)
    for now in range(1_000, 100_000, 1_000):
        asked(asking, [1], now)
    assert asked(asking, [], 100_000) == []
    assert asked(asking, [2], 200_000) == [2]
    assert asked(asking, [2], 399_999) == []
    assert asked(asking, [2], 400_000) == [2]


def test_asking__a_known_round_trip_sets_the_pace() -> None:
    asking = Asking(50_000)
    asked(asking, [1], 0)
    assert asked(asking, [1], 99_999) == []
    assert asked(asking, [1], 100_000) == [1]


def test_asking__what_is_taken_back_twice_is_new_again() -> None:
    asking = Asking(0)
    assert asked(asking, [1, 2], 0) == [1, 2]
    assert asked(asking, [2], 100) == []
    assert asked(asking, [1, 2], 200) == [1]


def test_nack__of_nothing_is_nothing() -> None:
    receiver = lane()
    assert receiver.nack(NO_INDICES, 0).tolist() == []
    assert receiver.nack(indices([3]), 0).tolist() == [3]
