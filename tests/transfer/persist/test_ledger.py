# SPDX-License-Identifier: GPL-2.0-only
"""What a killed process wrote is found again, and whatever else stands in that memory is not believed."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from towline.errors import MalformedError, UnsupportedError
from towline.kernel.memory import Map
from towline.kernel.objects import describe_map
from towline.protocol.opening import Terms
from towline.sockets.port import Peer
from towline.transfer.persist.ledger import AREA_BYTES, BLOCKS_MOST, Blocks, Facts, LaneFacts, Ledger

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root (CAP_BPF)")

FACTS = Facts(
    level="ethernet",
    peer=Peer(mac=b"\2\0\0\0\0\1"),
    reply_to=Peer(mac=b"\2\0\0\0\0\1"),
    transfer=1 << 63,
    lanes=2,
    terms=Terms(payload_size=1400, ack_every=32, window=4096, block_bytes=1 << 20, delivery="ring"),
    rtt_us=77,
    sessions=(LaneFacts(session=1 << 63, lane=1, first_index=5),),
    folder="/somewhere",
    head=b"head",
    part=".name.part",
    inode=(1 << 40, 1 << 63),
)
DIGEST = bytes(range(1, 17))


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    made = Ledger.new()
    yield made
    made.close()


def again(ledger: Ledger) -> Ledger:
    """As another process finds it."""
    return Ledger(same(ledger.map))


def same(which: Map) -> Map:
    """By a descriptor of its own."""
    return describe_map(os.dup(which.fd))


def test_ledger__is_found_again(ledger: Ledger) -> None:
    for part in ("", "a", "b"):
        ledger.write(replace(FACTS, part=part))
    ledger.drained(1, 1 << 40)
    found = again(ledger)
    assert found.read_untrusted() == replace(FACTS, part="b")
    assert found.drained_of(1) == 1 << 40
    found.close()


def test_ledger__half_written_facts_are_the_earlier_ones(ledger: Ledger) -> None:
    ledger.write(FACTS)
    ledger.write(replace(FACTS, part="new"))
    newest = ledger._memory["areas"][ledger._generation % 2]
    newest[100] ^= 1
    assert again(ledger).read_untrusted().part == FACTS.part


@pytest.mark.parametrize("count", [1, 8, 9, 1000])
def test_blocks__are_found_again(count: int) -> None:
    blocks = Blocks.new(count)
    for number in {0, count // 2, count - 1}:
        blocks.mark(number, DIGEST[number % 16 :] + DIGEST[: number % 16])
    found = Blocks(same(blocks.map), count)
    assert list(found.marked()) == [
        (number, DIGEST[number % 16 :] + DIGEST[: number % 16]) for number in sorted({0, count // 2, count - 1})
    ]
    found.close()
    with pytest.raises(MalformedError):
        Blocks(same(blocks.map), count + 1)
    blocks.close()


def test_blocks__a_bit_beyond_the_last_is_none_of_ours() -> None:
    blocks = Blocks.new(3)
    blocks._memory["written"][0] = 1 << 3
    with pytest.raises(MalformedError, match="beyond the end"):
        list(blocks.marked())
    blocks.close()


def test_blocks__have_a_limit() -> None:
    with pytest.raises(UnsupportedError, match="--block-size"):
        Blocks.new(BLOCKS_MOST + 1)


def test_ledger__has_limits(ledger: Ledger) -> None:
    with pytest.raises(UnsupportedError):
        ledger.write(
            Facts(**{name: getattr(FACTS, name) for name in FACTS.__struct_fields__} | {"head": bytes(AREA_BYTES)})
        )
    with Map.create_array("towline_other", 64) as other, pytest.raises(MalformedError):
        Ledger(other)


def test_ledger__empty_is_nothing(ledger: Ledger) -> None:
    with pytest.raises(MalformedError):
        again(ledger).read_untrusted()


@given(st.binary(max_size=400), st.integers(0, 600))
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_ledger__anything_may_stand_there(ledger: Ledger, junk: bytes, at: int) -> None:
    ledger.write(FACTS)
    for area in ledger._memory["areas"]:
        area[at : at + len(junk)] = np.frombuffer(junk, np.uint8)
    found = again(ledger)
    try:
        assert found.read_untrusted() == FACTS
    except MalformedError:
        pass
    finally:
        found.close()
