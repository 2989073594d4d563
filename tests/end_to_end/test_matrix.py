# SPDX-License-Identifier: GPL-2.0-only
"""Levels, datapaths, deliveries and faults, each with each in short transfers between two processes that go on.

namespace ...a                 namespace ...m                  namespace ...b
tl0, sends  <-------------->  left  the emulator  right  <-------------->  tl0, receives
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from towline.framing import LEVELS
from towline.lab.soak.plan import Plan
from towline.lab.soak.rig import Rig, rig
from towline.settings import Settings

CLEAN_BYTES, FAULTY_BYTES = 1 << 20, 300_001
FAULTS = {"loss": (0.1, 0.1), "duplicate": (0.05, 0.05), "reorder": (0.05, 0.05), "corrupt": (0.02, 0.02)}
DATAPATHS = [
    ("ebpf", "ebpf", "direct"),
    ("ebpf", "ebpf", "ring"),
    ("socket", "ebpf", "direct"),
    ("socket", "ebpf", "ring"),
    ("ebpf", "socket", None),
    ("socket", "socket", None),
]
CASES = [(level, *datapath) for level in LEVELS for datapath in DATAPATHS]


@pytest.fixture(scope="module")
def one_rig() -> Iterator[Rig]:
    """The processes of all transfers of this file."""
    if os.geteuid() != 0:
        pytest.skip("needs root (CAP_SYS_ADMIN and CAP_NET_ADMIN for namespaces, CAP_BPF for programs)")
    with rig() as made:
        yield made


def carry_out(one_rig: Rig, number: int, size_bytes: int, **impairments: Any) -> dict[str, Any]:
    """The record of one transfer of CASES, verified; the receivers of every other one name no level."""
    level, sender, receiver, delivery = CASES[number]
    settings = Settings(
        level=level,  # type: ignore[arg-type]
        datapath_sender=sender,  # type: ignore[arg-type]
        datapath_receiver=receiver,  # type: ignore[arg-type]
        delivery=delivery,  # type: ignore[arg-type]
        **impairments,
    )
    plan = Plan(
        seed=number, size_bytes=size_bytes, settings=settings, serves_all=LEVELS[level].is_shared and number % 2 > 0
    )
    outcome = one_rig.carry_out(plan)
    assert outcome.problem is None, f"{plan.command()}\n{outcome.problem}\n{outcome.log}"
    assert not outcome.unconfirmed or impairments
    return outcome.record


@pytest.mark.acceptance
@pytest.mark.parametrize("number", range(len(CASES)), ids=["-".join(filter(None, case)) for case in CASES])
def test_transfer__clean(one_rig: Rig, number: int) -> None:
    record = carry_out(one_rig, number, CLEAN_BYTES)
    assert record["level"] == CASES[number][0]
    assert record["corrupt"] == record["malformed"] == record["nacks"] == 0
    expected = "live" if record["datapath_sender"] == "ebpf" else "udp" if "udp" in record["level"] else "packet"
    assert record["transmit"] == expected


@pytest.mark.parametrize("number", range(len(CASES)), ids=["-".join(filter(None, case)) for case in CASES])
def test_transfer__faults(one_rig: Rig, number: int) -> None:
    record = carry_out(one_rig, number, FAULTY_BYTES, checksum=number // 3 % 2 > 0, **FAULTS)
    if "retransmissions" in record:  # the sender's half is missing where it was left unconfirmed
        assert record["retransmissions"] > 0
