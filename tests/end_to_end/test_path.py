# SPDX-License-Identifier: GPL-2.0-only
"""Real losses, damage and darkness on the path: the transfer ends verified all the same.

namespace ...a       namespace ...m                          namespace ...b
tl0 02:..:0a  <-->  left --(XDP_REDIRECT, both ways)-- right  <-->  tl0 02:..:0b
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.hand import hand, receiving
from tests.end_to_end.middle import Middle, middle
from towline.lab import verify

pytestmark = pytest.mark.usefixtures("namespaces")

MIB = 1 << 20
LONG_BYTES = 512 * MIB  # a third of a second or more: long enough for a test to meddle with it
DARK_S = 0.5


def transfer(
    made: Middle, folder: Path, size_bytes: int, *sender: str, receiver: tuple[str, ...] = (), meddle: Any = None
) -> dict[str, Any]:
    """One transfer by hand, whose received file is compared byte for byte; both sides' records in one."""
    target = f"{made.receiver.mac}%{made.sender.interface}"
    with (
        receiving(made.receiver, "--output", str(folder), *receiver) as theirs,
        hand(made.sender, "send", "--size", str(size_bytes), target, *sender) as ours,
    ):
        if meddle is not None:
            ours.under_way()
            meddle()
            assert ours.process.poll() is None  # or it had ended before
        record = ours.finished() | theirs.finished()
    (arrived,) = folder.iterdir()
    assert verify.same(verify.source_chunks(size_bytes, 0), arrived)
    return record


@pytest.mark.parametrize("delivery", ["direct", pytest.param("ring", marks=pytest.mark.acceptance)])
def test_path__dark_for_a_while(folder: Path, delivery: str) -> None:
    with middle() as made:

        def dark() -> None:
            made.forward["dark"] = made.backward["dark"] = 1
            time.sleep(DARK_S)
            made.forward["dark"] = made.backward["dark"] = 0

        record = transfer(made, folder, LONG_BYTES, receiver=("--delivery", delivery), meddle=dark)
        assert made.forward["dropped"] > 0
    assert record["seconds"] > DARK_S
    assert record["packets_sent"] == record["packets"] + record["retransmissions"]
    assert record["retransmissions"] > 0


@pytest.mark.parametrize(("delivery", "lanes"), [("direct", 2), ("ring", 1)])
def test_path__loses_one_in_twenty_each_way(folder: Path, delivery: str, lanes: int) -> None:
    with middle(queues=lanes) as made:
        made.forward["drop_every"] = made.backward["drop_every"] = 20
        record = transfer(made, folder, 64 * MIB, "--lanes", str(lanes), receiver=("--delivery", delivery))
        lost = int(made.forward["dropped"])
    assert lost > 64 * MIB / 1476 / 20
    assert record["packets_sent"] == record["packets"] + record["retransmissions"]
    # Every lost packet was sent again (but for a few HELLOs, FINs and probes among them), and hardly any other.
    assert record["retransmissions"] + 20 > lost - record["useless_retransmissions"]
    assert record["useless_retransmissions"] < lost / 10


@pytest.mark.parametrize("delivery", ["direct", "ring"])
def test_path__damages_payload_that_only_the_blocks_digest_covers(folder: Path, delivery: str) -> None:
    with middle() as made:
        made.forward["damage_every"] = 2000
        record = transfer(made, folder, 64 * MIB, receiver=("--delivery", delivery))
        assert made.forward["damaged"] > 10
    assert record["nacks"] > 10
    assert record["retransmissions"] > 0


def test_path__damages_payload_that_xdp_checks(folder: Path) -> None:
    with middle() as made:
        made.forward["damage_every"] = 100
        record = transfer(made, folder, 64 * MIB, "--checksum")
        assert record["corrupt"] == made.forward["damaged"] > 100
    assert record["nacks"] == 0
    assert record["retransmissions"] >= record["corrupt"] - 10
