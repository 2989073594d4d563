# SPDX-License-Identifier: GPL-2.0-only
"""The Python twin of receiver.h answers the table of cases.py; and the twins' own arithmetic is wire.py's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import twins
from tests.cases import CASES
from tests.scripts import ROOM, Case, play
from towline.wire import HEADER, Flag, Kind, Message, body_mix, decode_untrusted, encode, header_check, payload_sums

SESSION = 0x1234_5678_9ABC_0007
ROWS = [pytest.param(case, d, id=f"{case.name}-{d}") for case in CASES for d in case.setup.deliveries]


class TwinEnd:
    """tests.cases.End around a Placement."""

    number = SESSION

    def __init__(self, case: Case, delivery: str) -> None:
        setup = case.setup
        self._room = ROOM if setup.ring_room else 1 << 30
        self._records: list[tuple[int, int, bytes]] = []
        self._memory = np.zeros((setup.window, setup.payload_size), np.uint8)
        self._twin = twins.Placement(
            session=SESSION,
            window=setup.window,
            payload_size=setup.payload_size,
            ack_every=setup.ack_every,
            ring=delivery == "ring",
            store=self._store,
            first_index=setup.first_index,
            short_every=setup.short_every,
        )

    def receive(self, packet: bytes) -> tuple[twins.Verdict, bytes | None]:
        return self._twin.receive(packet)

    def drain(self, to: int) -> None:
        self._twin.drained = to

    def want(self, index: int) -> None:
        self._twin.want([index])

    def take(self) -> None:
        self._records.clear()

    def counters(self) -> dict[str, int]:
        return dict(self._twin.counters)

    def memory(self) -> bytes:
        return repr(self._records).encode() if self._twin.ring else self._memory.tobytes()

    def payload(self, index: int, length: int) -> bytes:
        if self._twin.ring:
            found, said, committed = self._records[-1]
            assert (found, said) == (index % (1 << 32), length)
            return committed
        return self._memory[index % len(self._memory), :length].tobytes()

    def _store(self, slot: int, index: int, payload: bytes, length: int) -> bool:
        if not self._twin.ring:
            self._memory[slot, : len(payload)] = np.frombuffer(payload, np.uint8)
        elif len(self._records) >= self._room:
            return False
        else:
            self._records.append((index, length, payload))
        return True


@pytest.mark.parametrize(("case", "delivery"), ROWS)
def test_placement__does_what_the_table_says(case: Case, delivery: str) -> None:
    play(case, TwinEnd(case, delivery))


def play_all() -> None:
    for case in CASES:
        for delivery in case.setup.deliveries:
            play(case, TwinEnd(case, delivery))


@pytest.mark.parametrize("name", ["has_arrived", "mark_arrived", "advance", "_choose", "place"])
def test_play__notices_a_twin_that_is_broken(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = {"has_arrived": False, "_choose": (0, 0), "place": "duplicates"}.get(name)
    monkeypatch.setattr(twins.Placement, name, lambda *_: broken)
    with pytest.raises(AssertionError):
        play_all()


@given(st.binary(max_size=300))
def test_payload_sum__is_the_one_of_wire(body: bytes) -> None:
    assert twins.payload_sum(body) == int(payload_sums(np.frombuffer(body, np.uint8).reshape(1, -1))[0])


@given(st.binary(max_size=300))
def test_body_mix__is_the_one_of_wire(body: bytes) -> None:
    assert twins.body_mix(body) == int(body_mix(np.frombuffer(body, np.uint8).reshape(1, -1))[0])


@given(st.binary(min_size=24, max_size=24), st.integers(0, 0xFFFFFFFF))
def test_header_check__is_the_one_of_wire(head: bytes, total: int) -> None:
    expected = header_check(np.frombuffer(head, HEADER), np.array([total], np.uint64))
    assert twins.header_check(head, total) == int(expected[0])


@given(
    st.integers(1, (1 << 64) - 1),
    st.integers(0, (1 << 32) - 1),
    st.binary(min_size=1, max_size=200),
    st.sampled_from([0, Flag.CHECKSUM, Flag.CHECKSUM | Flag.AGAIN, Flag.FLUSH]),
)
def test_data_packet__is_what_wire_encodes(session: int, index: int, payload: bytes, flags: int) -> None:
    packet = twins.data_packet(session, index, payload, flags, 5)
    message = Message(kind=Kind.DATA, flags=Flag(flags), session=session, index=index, timestamp=5, tail=payload)
    assert packet == encode(message).ljust(24 + 80, b"\0")
    assert decode_untrusted(packet) == message
