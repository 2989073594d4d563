# SPDX-License-Identifier: GPL-2.0-only
"""The handshake: both sides, lost and repeated messages, and terms that nobody should take."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from towline.errors import MalformedError, PeerError, SettingsError
from towline.protocol.opening import (
    COOKIE_EPOCH_US,
    HELLO_FIRST_US,
    HELLO_MOST_US,
    NEAR_US,
    Caller,
    Door,
    Offer,
    Terms,
    accept,
    agree,
    reject,
    stamp,
)
from towline.wire import Kind, Message, decode_untrusted, encode

OFFER = Offer(transfer=77 << 40, lanes=2, payload_size=1400, ack_every=32, window=1024, address=b"\2\0\0\0\0\1")
TERMS = Terms(payload_size=1400, ack_every=32, window=512, block_bytes=100_000, delivery="ring")
NOW = 5_000_000


def over(message: Message) -> Message:
    """As it arrives."""
    return decode_untrusted(encode(message))


def hello(lane: int = 0, **changes: Any) -> Message:
    message = over(OFFER.hello(lane, now=NOW))
    return replace(message, fields=message.fields | changes)


def terms_for(message: Message, **changes: Any) -> Terms:
    here: dict[str, Any] = {"largest_payload": 1462, "window": 512, "block_bytes": 1 << 20, "delivery": "direct"}
    return agree(message, **here | changes)


def greeting(message: Message) -> tuple[int, bytes]:
    return message.fields["lane"], message.fields["cookie"]


# ---- the sender's side


def test_caller__says_hello_until_each_lane_is_accepted() -> None:
    caller = Caller(OFFER, NOW)
    first = caller.next(NOW)
    assert [message.fields["lane"] for message in first] == [0, 1]
    assert caller.next(NOW) == []
    caller.heard(over(accept(first[1], 11, 5, TERMS)), NOW + 300)
    assert not caller.done
    assert caller.next_wakeup() == NOW + HELLO_FIRST_US
    again = caller.next(NOW + HELLO_FIRST_US)
    assert [message.fields["lane"] for message in again] == [0]
    caller.heard(over(accept(again[0], 10, 5, TERMS)), NOW + HELLO_FIRST_US + 700)
    assert caller.done
    assert caller.next(NOW + 10 * HELLO_MOST_US) == []
    assert {lane: one.session for lane, one in caller.accepted.items()} == {0: 10, 1: 11}
    assert caller.accepted[0].terms == TERMS
    assert caller.accepted[0].first_index == 5


def test_caller__asks_less_and_less_often() -> None:
    caller, times = Caller(OFFER, 0), []
    for _ in range(8):
        times.append(caller.next_wakeup())
        assert len(caller.next(times[-1])) == OFFER.lanes
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert gaps == [50_000, 100_000, 200_000, 400_000, 800_000, HELLO_MOST_US, HELLO_MOST_US]


def test_caller__takes_the_round_trip_from_the_echo() -> None:
    caller = Caller(OFFER, NOW)
    (early, _) = caller.next(NOW)
    (late, _) = caller.next(NOW + HELLO_FIRST_US)
    caller.heard(over(accept(early, 1, 0, TERMS)), NOW + HELLO_FIRST_US + 9)
    assert caller.rtt_us == HELLO_FIRST_US + 9  # the first HELLO's answer, however late
    caller = Caller(OFFER, NOW)
    caller.next(NOW)
    caller.heard(over(accept(late, 1, 0, TERMS)), NOW + HELLO_FIRST_US + 9)
    assert caller.rtt_us == 9


def test_caller__the_round_trip_survives_a_clock_that_wraps() -> None:
    now = (1 << 32) - 10
    caller = Caller(OFFER, now)
    caller.heard(over(accept(caller.next(now)[0], 1, 0, TERMS)), now + 30)
    assert caller.rtt_us in (29, 30)  # 0 means no stamp, so it counts as 1
    assert stamp(1 << 32) == 1


def test_caller__says_hello_with_the_cookie_at_once_and_for_that_lane_only() -> None:
    caller, door = Caller(OFFER, NOW), Door()
    first = caller.next(NOW)
    retry = door.retry(over(first[1]), b"here", NOW)
    assert retry is not None
    caller.heard(over(retry), NOW + 100)
    (second,) = caller.next(NOW + 100)
    assert greeting(second) == (1, retry.fields["cookie"])
    caller.heard(over(retry), NOW + 200)  # the path has doubled it
    assert caller.next(NOW + 200) == []


@pytest.mark.parametrize(("answered_us", "window"), [(NEAR_US - 1, 256), (NEAR_US, OFFER.window)], ids=["near", "far"])
def test_caller__asks_for_the_near_window_where_the_first_answer_comes_at_once(answered_us: int, window: int) -> None:
    caller, door = Caller(OFFER, NOW, near_window=256), Door()
    now = NOW
    for lane, message in enumerate(caller.next(NOW)):
        assert message.fields["window"] == OFFER.window
        retry = door.retry(over(message), b"here", NOW)
        assert retry is not None
        now = NOW + answered_us + lane * 10 * NEAR_US  # the second lane's answer changes nothing
        caller.heard(over(retry), now)
    again = caller.next(now)
    assert [message.fields["window"] for message in again] == [window, window]
    for message in again:
        granted = terms_for(over(message), window=1024)
        caller.heard(over(accept(message, 1 + message.fields["lane"], 0, granted)), now)
    assert [accepted.terms.window for accepted in caller.accepted.values()] == [window, window]


@pytest.mark.parametrize(
    "changes",
    [
        {"payload_size": 1399},
        {"window": 2048},  # more than was offered
        {"window": 32},
        {"window": 0},
        {"window": 96},
        {"ack_every": 0},
        {"ack_every": 33},
        {"block_bytes": 0},
        {"block_bytes": 128 * 1400},  # no room for the trailer in a quarter of the window
    ],
)
def test_caller__refuses_terms_that_were_never_offered(changes: dict[str, Any]) -> None:
    caller = Caller(OFFER, NOW)
    message = over(accept(caller.next(NOW)[0], 1, 0, TERMS))
    with pytest.raises(PeerError, match="never offered"):
        caller.heard(replace(message, fields=message.fields | changes), NOW)


def test_caller__refuses_a_session_of_zero_and_lanes_that_differ() -> None:
    caller = Caller(OFFER, NOW)
    one, two = caller.next(NOW)
    with pytest.raises(PeerError):
        caller.heard(over(accept(one, 0, 0, TERMS)), NOW)
    caller.heard(over(accept(one, 1, 0, TERMS)), NOW)
    with pytest.raises(PeerError):
        caller.heard(over(accept(two, 2, 0, replace(TERMS, window=256))), NOW)


def test_caller__a_reject_is_an_error_with_its_reason_made_harmless() -> None:
    caller = Caller(OFFER, NOW)
    caller.next(NOW)
    with pytest.raises(PeerError) as caught:
        caller.heard(over(reject(hello(), "busy\x1b[2J\n now")), NOW)
    assert caught.value.reason == "busy?[2J? now"


def test_caller__hears_nothing_that_is_meant_for_others() -> None:
    caller = Caller(OFFER, NOW)
    greeting_of_another = over(replace(OFFER, transfer=OFFER.transfer + 1).hello(0, now=NOW))
    caller.heard(over(accept(greeting_of_another, 1, 0, TERMS)), NOW)
    caller.heard(over(reject(greeting_of_another, "no")), NOW)
    caller.heard(over(accept(hello(7), 1, 0, TERMS)), NOW)  # a lane that there is not
    caller.heard(hello(), NOW)  # its own echo
    assert caller.accepted == {}


def test_caller__a_second_accept_changes_nothing() -> None:
    caller = Caller(OFFER, NOW)
    one, _ = caller.next(NOW)
    caller.heard(over(accept(one, 1, 0, TERMS)), NOW)
    caller.heard(over(accept(one, 2, 9, TERMS)), NOW)
    assert caller.accepted[0].session == 1


# ---- the receiver's side


def test_door__keeps_nothing_and_knows_its_cookie_again() -> None:
    door = Door()
    retry = door.retry(hello(), b"here", NOW)
    assert retry is not None
    cookie = retry.fields["cookie"]
    known = hello(cookie=cookie)
    assert door.retry(known, b"here", NOW) is None
    assert door.retry(known, b"here", NOW + COOKIE_EPOCH_US) is None
    assert door.retry(known, b"here", NOW + 2 * COOKIE_EPOCH_US) is not None
    assert door.retry(known, b"there", NOW) is not None
    assert door.retry(hello(1, cookie=cookie), b"here", NOW) is not None
    assert door.retry(hello(cookie=cookie, transfer=5), b"here", NOW) is not None
    assert Door().retry(known, b"here", NOW) is not None


@pytest.mark.parametrize("kind", ["retry", "reject", "accept"])
def test_door__no_answer_is_longer_than_what_asked_for_it(kind: str) -> None:
    answers = {
        "retry": Door().retry(hello(), b"here", NOW),
        "reject": reject(hello(), "x" * 500),
        "accept": accept(hello(), 1, 0, TERMS),
    }
    answer = answers[kind]
    assert answer is not None
    assert len(encode(answer)) <= len(encode(hello()))


@pytest.mark.parametrize("changes", [{"magic": b"towline2"}, {"lanes": 0}, {"lanes": 17}, {"lane": 2}])
def test_door__another_version_or_an_impossible_lane(changes: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        Door().retry(hello(**changes), b"here", NOW)


def test_agree__takes_the_smaller_of_both() -> None:
    terms = terms_for(hello())
    assert terms == Terms(payload_size=1400, ack_every=32, window=512, block_bytes=128 * 1400 - 24, delivery="direct")
    assert terms_for(hello(), window=4096).window == 1024
    assert terms_for(hello(), block_bytes=1000).block_bytes == 1000
    assert terms_for(hello(ack_every=1 << 31)).ack_every == 128  # a quarter of the window
    assert terms_for(hello(window=64), block_bytes=1000).ack_every == 16


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"payload_size": 0}, "at most 1462"),
        ({"payload_size": 1463}, "at most 1462"),
        ({"window": 0}, "power of two"),
        ({"window": 1000}, "power of two"),
        ({"window": 32}, "at least 64"),
        ({"window": 1}, "at least 64"),
        ({"ack_every": 0}, "no packet per acknowledgement"),
        ({"window": 64, "payload_size": 1}, "too small"),
    ],
)
def test_agree__refuses_with_a_reason(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        terms_for(hello(**changes))


def test_agree__whatever_it_grants_the_caller_takes() -> None:
    for window in (64, 256, 1 << 20):
        for ack_every in (1, 100, 1 << 31):
            for payload_size in (3, 100, 1462):
                offer = replace(OFFER, window=window, ack_every=ack_every, payload_size=payload_size)
                caller = Caller(offer, NOW)
                asked = over(caller.next(NOW)[0])
                caller.heard(over(accept(asked, 1, 0, terms_for(asked))), NOW)
                assert 0 in caller.accepted


def test_accept__carries_all_of_it() -> None:
    message = over(accept(hello(1), 0xABCD << 48, (1 << 32) - 1, TERMS))
    assert (message.kind, message.session, message.index) == (Kind.ACCEPT, 0xABCD << 48, (1 << 32) - 1)
    assert (message.fields["transfer"], message.fields["lane"]) == (OFFER.transfer, 1)
