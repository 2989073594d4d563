# SPDX-License-Identifier: GPL-2.0-only
"""FIN's rhythm, the last messages, and peers that are silent or stuck."""

from __future__ import annotations

import pytest

from towline.errors import PeerError, StalledError
from towline.protocol.closing import FIN_LEAST_US, FIN_MOST_US, Farewell, Liveness, abort, close, done
from towline.protocol.loss import RoundTrip
from towline.wire import Kind, decode_untrusted, encode, reason_untrusted

SECOND_US = 1_000_000


@pytest.mark.parametrize(
    ("smoothed_us", "every_us"), [(10, FIN_LEAST_US), (40_000, 80_000), (10 * SECOND_US, FIN_MOST_US)]
)
def test_fin__is_repeated_every_two_round_trips_within_bounds(smoothed_us: int, every_us: int) -> None:
    farewell, rtt = Farewell(9), RoundTrip.guess(smoothed_us)

    def said(now: int) -> bool:
        return farewell.fin(packets=1, stream_bytes=2, rtt=rtt, now=now) is not None

    assert [said(now) for now in (0, 0, every_us - 1, every_us, every_us + 1, 2 * every_us)] == [
        *(True, False, False),
        *(True, False, True),
    ]


def test_fin__has_64_bits_of_each() -> None:
    fin = Farewell(9).fin(packets=1 << 40, stream_bytes=(1 << 50) + 1, rtt=RoundTrip.guess(1), now=0)
    assert fin is not None
    message = decode_untrusted(encode(fin))
    assert (message.kind, message.session) == (Kind.FIN, 9)
    assert message.fields == {"packets": 1 << 40, "stream_bytes": (1 << 50) + 1}


def test_done_close_abort__say_what_they_are_for() -> None:
    message = decode_untrusted(encode(done(9, 5 << 32, bytes(range(16)))))
    assert message.fields == {"stream_bytes": 5 << 32, "digest": bytes(range(16))}
    assert decode_untrusted(encode(close(9))).kind == Kind.CLOSE
    message = decode_untrusted(encode(abort(9, "the disk is full")))
    assert reason_untrusted(message.fields["reason"]) == "the disk is full"


def test_liveness__a_silent_peer_is_dead() -> None:
    liveness = Liveness(timeout_us=10 * SECOND_US, stalled_us=60 * SECOND_US, now=0)
    liveness.heard(3 * SECOND_US)
    liveness.check(13 * SECOND_US, "")
    assert liveness.silent_us(13 * SECOND_US) == 10 * SECOND_US
    with pytest.raises(PeerError) as caught:
        liveness.check(13 * SECOND_US + 1, "5 of 9 bytes")
    assert caught.value.progress == "5 of 9 bytes"


def test_liveness__progress_is_a_sign_of_life() -> None:
    liveness = Liveness(timeout_us=10 * SECOND_US, stalled_us=60 * SECOND_US, now=0)
    liveness.at(1, 9 * SECOND_US)
    liveness.check(19 * SECOND_US, "")
    liveness.at(1, 15 * SECOND_US)  # where it stood before
    with pytest.raises(PeerError):
        liveness.check(20 * SECOND_US, "")


@pytest.mark.parametrize("stalled_us", [5 * SECOND_US, 60 * SECOND_US])
def test_liveness__answers_without_progress_are_a_stall(stalled_us: int) -> None:
    liveness = Liveness(timeout_us=10 * SECOND_US, stalled_us=stalled_us, now=0)
    liveness.at((1, 2), 100)
    for now in range(0, stalled_us + 100 + SECOND_US // 2, SECOND_US // 2):
        liveness.heard(now)
        liveness.at((1, 2), now)
        if now <= stalled_us + 100:
            liveness.check(now, "")
    with pytest.raises(StalledError):
        liveness.check(stalled_us + 101, "half of it")
