# SPDX-License-Identifier: GPL-2.0-only
"""A rig: transfers one after another, a worker that dies is replaced, and what is wrong is noticed.

namespace ...a                   namespace ...m                    namespace ...b
a worker, tl0  <----------->  left  the emulator  right  <----------->  tl0, a worker
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from towline.lab import verify
from towline.lab.soak import rig as rigs
from towline.lab.soak.plan import Plan
from towline.lab.soak.rig import Rig, rig
from towline.settings import MIB, Settings

pytestmark = pytest.mark.usefixtures("namespaces")

SOCKETS = Settings(level="ethernet", datapath_sender="socket", datapath_receiver="socket")  # quickly set up


def small(seed: int = 1, settings: Settings = SOCKETS) -> Plan:
    return Plan(seed=seed, size_bytes=100_000, settings=settings, serves_all=False)


@pytest.fixture
def one() -> Iterator[Rig]:
    with rig() as made:
        yield made


def test_carry_out__one_after_another_by_the_same_workers(one: Rig) -> None:
    pids = set()
    for seed, datapath in ((1, "socket"), (2, "ebpf"), (3, "socket")):
        outcome = one.carry_out(small(seed, SOCKETS.replace(datapath_sender=datapath)))
        assert outcome.problem is None, outcome.log
        assert not outcome.unconfirmed
        assert outcome.record["datapath_sender"] == datapath
        assert outcome.held["sender"].bpf_objects == outcome.held["receiver"].bpf_objects == 0
        assert list(one.folder.iterdir()) == []
        pids.add(tuple(one.worker(side).process.pid for side in ("sender", "receiver")))
    assert len(pids) == 1


def test_carry_out__the_path_is_impaired_as_planned(one: Rig) -> None:
    lossy = small(settings=SOCKETS.replace(loss=(0.1, 0.1), delay=(20_000, 0)))
    outcome = one.carry_out(lossy)
    assert outcome.problem is None
    assert outcome.record["retransmissions"] > 0
    assert outcome.record["rtt_us_p50"] >= 20_000
    assert one.carry_out(small()).record["rtt_us_p50"] < 20_000


@pytest.mark.parametrize("side", ["sender", "receiver"])
def test_carry_out__a_worker_that_is_killed_is_replaced(one: Rig, side: str) -> None:
    worker = one.worker(side)
    slow = Plan(seed=1, size_bytes=MIB, settings=SOCKETS.replace(pace=8_000_000, timeout_s=1), serves_all=False)

    def kill() -> None:
        time.sleep(0.5)
        os.kill(worker.process.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    outcome = one.carry_out(slow, hangs_s=10)
    killer.join()
    assert outcome.problem is not None
    assert f"the {side} has ended" in outcome.problem
    assert "ended with -9" in outcome.log
    assert outcome.replaced
    assert one.carry_out(small()).problem is None
    assert one.worker(side).process.pid != worker.process.pid


def test_carry_out__a_worker_that_hangs_says_where_and_is_replaced(one: Rig) -> None:
    slow = Plan(seed=1, size_bytes=MIB, settings=SOCKETS.replace(pace=1_000_000), serves_all=False)
    assert one.carry_out(small()).problem is None  # to start them takes time
    outcome = one.carry_out(slow, hangs_s=2)
    assert outcome.problem == "the sender is not done; the receiver is not done"
    assert "worker.py" in outcome.log  # where its threads are
    assert outcome.replaced
    assert one.carry_out(small()).problem is None


def test_carry_out__a_wrong_byte_is_noticed(one: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    same = verify.same

    def corrupted(sent: Iterable[memoryview | bytes], received: Path) -> bool:
        with received.open("r+b") as file:
            file.seek(99_999)
            byte = file.read(1)
            file.seek(99_999)
            file.write(bytes([byte[0] ^ 1]))
        return same(sent, received)

    monkeypatch.setattr(verify, "same", corrupted)
    assert one.carry_out(small()).problem == "the file differs from its source"
    monkeypatch.undo()
    assert one.carry_out(small()).problem is None


def test_carry_out__what_another_file_leaves_is_noticed(one: Rig) -> None:
    (one.folder / "other").touch()
    assert one.carry_out(small()).problem == "left in the folder: other"
    assert list(one.folder.iterdir()) == []


def test_carry_out__an_error_is_told_with_its_side(one: Rig) -> None:
    outcome = one.carry_out(
        small(settings=SOCKETS.replace(datapath_receiver="ebpf", clang_flags_receiver=("-fno-such-flag",)))
    )
    assert outcome.problem is not None
    assert "receiver: CompileError: clang refused" in outcome.problem
    assert one.carry_out(small()).problem is None


def test_contradiction__a_fallback_is_no_success() -> None:
    planned = small(settings=SOCKETS.replace(datapath_sender="ebpf"))
    assert rigs._contradiction(planned, {"datapath_sender": "socket"}) == "datapath_sender was socket"
    assert rigs._contradiction(planned, {"datapath_sender": "ebpf"}) is None
    counted = {"packets": 3, "retransmissions": 2, "redundant_copies": 1}
    assert rigs._contradiction(planned, counted | {"packets_sent": 6}) is None
    assert rigs._contradiction(planned, counted | {"packets_sent": 5}) == "5 packets were sent, and 6 were to be"
