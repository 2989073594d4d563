# SPDX-License-Identifier: GPL-2.0-only
"""Paths that lose, copy, reorder, damage and go dark, and ends that stop: verified all the same, or given up in time.

namespace ...a                 namespace ...m                  namespace ...b
tl0, sends  <-------------->  left  the emulator  right  <-------------->  tl0, receives
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.hand import Hand, hand, receiving
from tests.end_to_end.test_matrix import CASES, FAULTS
from towline.errors import NoReceiverError, PeerError
from towline.framing import LEVELS
from towline.lab import verify
from towline.lab.emulator.impairments import Impairment, Impairments
from towline.lab.environments import veth
from towline.lab.soak.plan import Plan
from towline.lab.soak.rig import Rig, rig
from towline.settings import Settings

pytestmark = [pytest.mark.acceptance, pytest.mark.usefixtures("namespaces")]

MIB = 1 << 20
FAULTY_BYTES = 2 * MIB + 1
TIMEOUT_S = 10  # the default
DATAPATHS = [(sender, receiver) for sender in ("ebpf", "socket") for receiver in ("ebpf", "socket")]
BOTH = pytest.mark.parametrize("datapath", ["ebpf", "socket"])


@pytest.fixture(scope="module")
def one_rig() -> Iterator[Rig]:
    """The processes of all short transfers of this file."""
    with rig() as made:
        yield made


@pytest.mark.parametrize("checksum", [True, False], ids=["checksum", "no-checksum"])
@pytest.mark.parametrize("case", CASES, ids=["-".join(filter(None, case)) for case in CASES])
def test_transfer__all_faults_at_once(
    one_rig: Rig, case: Any, checksum: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    level, sender, receiver, delivery = case
    settings = Settings(
        level=level,
        datapath_sender=sender,
        datapath_receiver=receiver,
        delivery=delivery,
        checksum=checksum,
        **FAULTS,  # type: ignore[arg-type]
    )
    plan = Plan(seed=CASES.index(case), size_bytes=FAULTY_BYTES, settings=settings, serves_all=LEVELS[level].is_shared)
    outcome = one_rig.carry_out(plan)
    assert outcome.problem is None, f"{plan.command()}\n{outcome.problem}\n{outcome.log}"
    record = outcome.record
    with capsys.disabled():
        shown = ("retransmissions", "nacks", "corrupt", "duplicates")
        print(f"\n{outcome.seconds:.2f} s  {'  '.join(f'{name} {record.get(name)}' for name in shown)}", end="  ")
    if receiver == "socket" and LEVELS[level].has_ports:
        return  # the kernel has looked at UDP's checksum before
    assert record["corrupt"] > 0
    # Without a checksum only a block's digest finds what was damaged. With it, too, one in thirty: the 16 bits of the
    # Internet checksum do not see it where one bit is flipped up and another one, of the same weight, down.
    assert checksum or record["nacks"] > 0


def transfer(
    folder: Path,
    size: int,
    datapath: str,
    *words: str,
    impairments: Impairments | None = None,
    meddle: Callable[[veth.Path, Hand, Hand], None] | None = None,
) -> dict[str, Any]:
    """A verified transfer by hand over an emulated path, meddled with when it is under way; both sides' records."""
    with ExitStack() as stack:
        path = stack.enter_context(veth.veth(impairments=impairments or Impairments()))
        out = ("--output", str(folder), "--datapath", datapath)
        theirs = stack.enter_context(receiving(path.receiver, *out))
        send = ("send", "--size", str(size), path.target, "--datapath", datapath, *words)
        ours = stack.enter_context(hand(path.sender, *send))
        if meddle is not None:
            ours.under_way()
            meddle(path, ours, theirs)
            assert ours.process.poll() is None, "it had ended before"
        record = ours.finished() | theirs.finished()
    assert verify.same(verify.source_chunks(size, 0), folder / f"random-{size}-0")
    return record


@pytest.mark.parametrize(("sender", "receiver"), DATAPATHS)
@pytest.mark.parametrize("level", ["ethernet", "udp6"])
def test_transfer__a_third_is_lost(one_rig: Rig, level: str, sender: str, receiver: str) -> None:
    settings = Settings(
        level=level,  # type: ignore[arg-type]
        datapath_sender=sender,  # type: ignore[arg-type]
        datapath_receiver=receiver,  # type: ignore[arg-type]
        delivery="direct" if receiver == "ebpf" else None,
        loss=(0.3, 0.3),
    )
    outcome = one_rig.carry_out(Plan(seed=1, size_bytes=4 * MIB, settings=settings, serves_all=False))
    assert outcome.problem is None, f"{outcome.problem}\n{outcome.log}"


SLOWLY = ("--pace", "200mbit")  # 64 MiB take some three seconds
LONG_BYTES = 64 * MIB


@BOTH
def test_transfer__a_black_hole_of_five_seconds(tmp_path: Path, datapath: str) -> None:
    def dark(path: veth.Path, ours: Hand, theirs: Hand) -> None:
        assert path.emulator is not None
        path.emulator.blackhole(5)
        time.sleep(4.9)

    record = transfer(tmp_path, LONG_BYTES, datapath, *SLOWLY, meddle=dark)
    assert record["seconds"] > 5
    assert record["retransmissions"] > 0


@BOTH
def test_transfer__every_acknowledgement_is_eaten_for_two_seconds(tmp_path: Path, datapath: str) -> None:
    def deaf(path: veth.Path, ours: Hand, theirs: Hand) -> None:
        assert path.emulator is not None
        path.emulator.blackhole(2, "backward")
        time.sleep(1.9)

    record = transfer(tmp_path, LONG_BYTES, datapath, *SLOWLY, meddle=deaf)
    assert record["retransmissions"] > 0
    assert record["seconds"] > 2


@BOTH
@pytest.mark.parametrize("side", ["receiver", "sender"])
def test_transfer__an_end_is_stopped_for_five_seconds(tmp_path: Path, datapath: str, side: str) -> None:
    def stop(path: veth.Path, ours: Hand, theirs: Hand) -> None:
        stopped = theirs if side == "receiver" else ours
        os.kill(stopped.pid, signal.SIGSTOP)
        time.sleep(5)
        os.kill(stopped.pid, signal.SIGCONT)

    record = transfer(tmp_path, LONG_BYTES, datapath, *SLOWLY, meddle=stop)
    assert record["seconds"] > 5


@BOTH
def test_total_loss__both_ends_give_up_with_a_reason(tmp_path: Path, datapath: str) -> None:
    with ExitStack() as stack:
        path = stack.enter_context(veth.veth(impairments=Impairments()))
        theirs = stack.enter_context(receiving(path.receiver, "--output", str(tmp_path), "--datapath", datapath))
        send = ("send", "--size", str(LONG_BYTES), path.target, "--datapath", datapath, *SLOWLY)
        ours = stack.enter_context(hand(path.sender, *send))
        ours.under_way()
        assert path.emulator is not None
        path.emulator.set(Impairments(forward=Impairment(loss=1.0), backward=Impairment(loss=1.0)))
        began = time.monotonic()
        for one in (ours, theirs):
            assert one.wait(TIMEOUT_S + 5) == PeerError.exit_code
            assert f"died: silent for {TIMEOUT_S} s" in one.said
        assert time.monotonic() - began < TIMEOUT_S + 2
        assert list(tmp_path.iterdir()) == []


@BOTH
def test_total_loss__from_the_beginning(tmp_path: Path, datapath: str) -> None:
    lost = Impairment(loss=1.0)
    with (
        veth.veth(impairments=Impairments(forward=lost, backward=lost)) as path,
        hand(path.sender, "send", "--size", "1M", path.target, "--datapath", datapath) as ours,
    ):
        assert ours.wait(TIMEOUT_S + 5) == NoReceiverError.exit_code
        assert "No receiver answered" in ours.said
