# SPDX-License-Identifier: GPL-2.0-only
"""Rates from two looks: indices wrap, counters stand still, and no time may have passed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towline.running.rates import Meter, Rates, rates
from towline.running.sessions import Session
from towline.wire import INDEX_MASK

indices = st.integers(0, INDEX_MASK)
counts = st.integers(0, 1 << 40)
PAYLOAD = 1250  # bytes: 10,000 bits


def look(
    packets: int = 0, acks: int = 0, retransmissions: int | None = None, sent: int = 0, useless: int = 0, **more: Any
) -> Session:
    """A session as one look finds it."""
    values = {
        "number": 1,
        "level": "ethernet",
        "delivery": "direct",
        "payload_size": PAYLOAD,
        "window": 64,
        "served_by": 1,
        "outstanding": 0,
        "ring_fill": None,
        "rtt_us": None,
        **more,
    }
    counters = {"acks": acks, "sent": sent, "useless": useless}
    return Session(packets=packets, retransmissions=retransmissions, counters=counters, **values)


def test_rates__of_a_second() -> None:
    found = rates(look(1000, 10, 50, 1050, 7), look(101_000, 1010, 1050, 101_050 + 1000, 207), 1.0)
    assert found == Rates(gbps=1.0, packets_per_ack=100.0, again_share=0.01, loss_share=800 / 101_000)


@pytest.mark.parametrize(("seconds", "gbps"), [(0.5, 2.0), (2.0, 0.5)])
def test_rates__are_by_the_second(seconds: float, gbps: float) -> None:
    found = rates(look(), look(100_000, 1000), seconds)
    assert found.gbps == pytest.approx(gbps)
    assert found.packets_per_ack == 100.0  # whatever the time


@given(first=indices, moved=st.integers(0, INDEX_MASK))
def test_rates__an_index_wraps_at_2_to_the_32(first: int, moved: int) -> None:
    wrapped = rates(look(first), look((first + moved) & INDEX_MASK, 1), 1.0)
    assert wrapped == rates(look(0), look(moved, 1), 1.0)
    assert wrapped.packets_per_ack == moved


@given(before=counts, moved=st.integers(0, INDEX_MASK))
def test_rates__a_receivers_counter_does_not_wrap(before: int, moved: int) -> None:
    assert rates(look(before), look(before + moved, 1), 1.0).packets_per_ack == moved


@pytest.mark.parametrize("seconds", [0.0, -1.0])
def test_rates__without_time_there_is_no_rate(seconds: float) -> None:
    found = rates(look(0, 0, 0), look(100, 10, 1), seconds)
    assert found == Rates(gbps=None, packets_per_ack=10.0, again_share=0.01, loss_share=None)


@given(packets=indices, acks=counts, again=counts)
def test_rates__what_stands_still_has_a_rate_of_nothing(packets: int, acks: int, again: int) -> None:
    one = look(packets, acks, again)
    assert rates(one, one, 1.0) == Rates(gbps=0.0, packets_per_ack=None, again_share=None, loss_share=None)


def test_rates__no_acknowledgement_came() -> None:
    assert rates(look(0, 7), look(100, 7), 1.0).packets_per_ack is None


def test_rates__acknowledgements_alone_are_no_packets() -> None:
    found = rates(look(7, 0, 0), look(7, 10, 5), 1.0)
    assert found == Rates(gbps=0.0, packets_per_ack=0.0, again_share=None, loss_share=None)


@pytest.mark.parametrize(("before", "after"), [(None, None), (None, 3), (3, None)])
def test_rates__who_does_not_know_retransmissions_has_no_share(before: int | None, after: int | None) -> None:
    assert rates(look(0, 0, before), look(100, 1, after), 1.0).again_share is None


@given(before=counts, after=counts, packets=st.integers(1, 1 << 31))
def test_rates__a_share_is_never_negative(before: int, after: int, packets: int) -> None:
    # `sent` and `sent_end` are read one after the other while they move: their difference may go back.
    share = rates(look(0, 0, before), look(packets, 1, after), 1.0).again_share
    assert share == max(0, after - before) / packets


def test_rates__what_was_sent_without_need_was_not_lost() -> None:
    def share(again: int, useless: int) -> float | None:
        return rates(look(0, 0, 0), look(100, 1, again, 100 + again, useless), 1.0).loss_share

    assert (share(25, 0), share(25, 25), share(25, 30)) == (0.2, 0.0, 0.0)


def test_rates__the_count_of_what_was_useless_wraps() -> None:
    before, after = look(0, 0, 0, 0, INDEX_MASK), look(100, 1, 10, 110, 4)  # five more
    assert rates(before, after, 1.0).loss_share == 5 / 110


def test_rates__the_payload_is_that_of_the_session() -> None:
    assert rates(look(), look(100_000, 1, payload_size=2 * PAYLOAD), 1.0).gbps == 2.0


# ---- over some time


def test_meter__is_the_sum_of_those_that_stay() -> None:
    meter = Meter(1.0)
    meter.look([look(0), look(0, number=2), look(0, number=3)], 10.0)
    meter.look([look(50_000), look(25_000, number=2), look(0, number=4)], 10.5)
    assert meter.gbps == pytest.approx(1.5)


def test_meter__forgets_what_is_too_long_ago() -> None:
    meter = Meter(1.0)
    assert meter.gbps is None
    for tenth in range(31):  # one gigabit a second for two seconds, then nothing
        meter.look([look(10_000 * min(tenth, 20))], tenth / 10)
        assert (meter.gbps is None) == (tenth == 0)
        if 0 < tenth <= 20:
            assert meter.gbps == pytest.approx(1.0)
    assert meter.gbps == pytest.approx(0.0)


def test_meter__begins_anew_from_the_last_look() -> None:
    meter = Meter(1.0)
    meter.look([look(0)], 0.0)
    meter.look([look(100_000)], 1.0)
    meter.restart()
    assert meter.gbps is None
    meter.look([look(120_000)], 1.1)
    assert meter.gbps == pytest.approx(2.0)
