# SPDX-License-Identifier: GPL-2.0-only
"""Each policy acknowledges when it says it does, and what it must not decide stays with the mechanism."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.bpf.conftest import Programs
from tests.bpf.programs import DROP, TO_RECEIVER, TX, ReceiverProgram
from tests.twins import data_packet
from towline.bpf import policy_names
from towline.kernel.netns import inside
from towline.wire import Flag

LONG_S = 0.002


@pytest.fixture(scope="module", params=policy_names())
def policy(request: pytest.FixtureRequest, programs: Programs, namespace: str) -> Iterator[tuple[str, ReceiverProgram]]:
    link, _ = programs.pair()
    with inside(namespace):
        program = ReceiverProgram(link, policy=request.param)
    yield request.param, program
    program.close()


def verdicts(program: ReceiverProgram, session: int, indices: range, flags: Flag = Flag.NONE) -> list[int]:
    return [program.run(TO_RECEIVER + data_packet(session, index, bytes(100), flags))[0] for index in indices]


def test_policy__when_time_passes_between_packets(policy: tuple[str, ReceiverProgram]) -> None:
    name, program = policy
    session = program.open(window=1024, ack_every=8, rtt_us=100)
    found = []
    for index in range(16):
        found += verdicts(program, session.number, range(index, index + 1))
        time.sleep(LONG_S)
    expected = {
        "fixed": [DROP] * 7 + [TX] + [DROP] * 7 + [TX],
        "every": [TX] * 16,
        "timed": [TX] * 16,
        "adaptive": [DROP, TX] * 8,  # L is 2
    }
    assert found == expected.get(name, found)


@pytest.mark.parametrize(
    ("name", "flag", "expected"),
    [
        ("timed", "-DINTERVAL_NS=60000000000ull", [TX, DROP, DROP, DROP]),  # at once, and then in a minute
        ("adaptive", "-DPACKETS_PER_ACK=3", [DROP, DROP, TX, DROP]),
        ("adaptive", "-DACKS_PER_RTT=2", [DROP, TX, DROP, DROP]),
    ],
)
def test_policy__is_tuned_by_flags(
    programs: Programs, namespace: str, name: str, flag: str, expected: list[int]
) -> None:
    link, _ = programs.pair()
    with inside(namespace):
        program = ReceiverProgram(link, policy=name, clang_flags_receiver=(flag,))
    try:
        session = program.open(window=1024, ack_every=8, rtt_us=100_000_000 if "RTT" in flag else 0)
        assert verdicts(program, session.number, range(4)) == expected
    finally:
        program.close()


def test_policy__a_quarter_of_the_window_at_the_latest(policy: tuple[str, ReceiverProgram]) -> None:
    _, program = policy
    session = program.open(window=64, ack_every=16, rtt_us=1_000_000)
    session.state["policy"][0] = (1 << 64) - 1  # for those that remember when they did it last: never yet
    found = verdicts(program, session.number, range(64))
    longest = max(len(run) for run in "".join("d" if one == DROP else "t" for one in found).split("t"))
    assert longest < 16, found


def test_policy__what_the_sender_asks_for_is_answered(policy: tuple[str, ReceiverProgram]) -> None:
    _, program = policy
    session = program.open(window=1024, ack_every=200, rtt_us=1_000_000)
    assert verdicts(program, session.number, range(20), Flag.FLUSH) == [TX] * 20


def test_policy__begins_with_clean_words(policy: tuple[str, ReceiverProgram]) -> None:
    _, program = policy
    session = program.open(window=1024, ack_every=200)
    session.state["policy"][:] = 77
    session.state["served_by"] = 99  # a program that is no more
    verdicts(program, session.number, range(1))
    assert session.state["served_by"] == 1
    assert 77 not in session.state["policy"]
