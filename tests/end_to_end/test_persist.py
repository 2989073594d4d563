# SPDX-License-Identifier: GPL-2.0-only
"""`receive --persist`: killed in mid-transfer, the kernel goes on, and so does the next process.

namespace ...a                      namespace ...b
towline send, tl0     <---------->  towline receive --persist, tl0: kill -9, and again
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.hand import Hand, hand
from towline.errors import IntegrityError, PeerError
from towline.kernel import bpffs
from towline.lab import verify
from towline.lab.environments import veth
from towline.protocol.loss import PROBE_MOST_US

pytestmark = pytest.mark.usefixtures("namespaces")

SIZE_BYTES = 96 << 20
# Three seconds; and a window that the ring holds, also where the handshake was slow.
SLOWLY = ("--pace", "250mbit", "--size", str(SIZE_BYTES), "--seed", "5", "--window", "4096")
DEAD_S = 1.0
IMPATIENT = ("--stall-timeout", "1")
SLOW_DISK = """
import sys, time
from towline.cli.main import main
from towline.transfer.persist import recheck
digest = recheck.block_digest
recheck.block_digest = lambda number, views: time.sleep(0.3) or digest(number, views)
sys.exit(main())
"""
PROBE_S = PROBE_MOST_US / 1e6


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """No pins before, none behind."""
    folder = bpffs.folder() / "persist"
    before = sorted(folder.glob("*")) if folder.is_dir() else []
    yield
    assert sorted(folder.glob("*")) == before


def receive(path: veth.Path, folder: Path, *more: str) -> Hand:
    """A receiver that may be killed."""
    started = Hand(
        path.receiver, "receive", "--interface", path.receiver.interface, "--output", str(folder), "--persist", *more
    )
    started.until(lambda event: event["event"] == "ready")
    return started


def _is_beyond(done_bytes: float, event: dict[str, Any]) -> bool:
    return event["event"] == "progress" and bool(event["done_bytes"] > done_bytes)


def kill(receiver: Hand, number: int = signal.SIGKILL) -> None:
    """SIGKILL: without a chance to clean up."""
    os.kill(receiver.pid, number)
    if number != signal.SIGKILL:
        assert receiver.wait() == 128 + number
        assert "the same command, given again, takes over" in receiver.events[-1]["text"]
    receiver.end()


def received_well(folder: Path) -> None:
    """The file, and nothing else, is there."""
    [name] = [path.name for path in folder.iterdir()]
    assert verify.same(verify.source_chunks(SIZE_BYTES, 5), folder / name)


@pytest.mark.parametrize(
    ("more", "number"),
    [((), signal.SIGKILL), (("--delivery", "ring"), signal.SIGTERM)],
    ids=["direct, killed", "ring, stopped"],
)
def test_persist__ended_and_started_again(path: veth.Path, folder: Path, more: tuple[str, ...], number: int) -> None:
    receiver = receive(path, folder, *more)
    with hand(path.sender, "send", *SLOWLY, path.target) as sender:
        sender.until(partial(_is_beyond, SIZE_BYTES / 4))
        kill(receiver, number)
        killed_at = time.monotonic()
        time.sleep(DEAD_S)
        again = receive(path, folder, *more)
        try:
            note = again.until(lambda event: event["event"] == "note")
            assert "going on with" in note["text"]
            record = sender.finished()
            own = again.finished()
        finally:
            again.end()
    received_well(folder)
    # Nothing that was acknowledged was sent again, but for the probes: one packet, four times a second at most.
    assert record["retransmissions"] == own["useless_retransmissions"] <= (time.monotonic() - killed_at) / PROBE_S + 1
    assert own["nacks"] == own["corrupt"] == 0


@pytest.mark.acceptance
def test_persist__killed_again_and_again(path: veth.Path, folder: Path) -> None:
    receiver = receive(path, folder)
    with hand(path.sender, "send", *SLOWLY, path.target) as sender:
        for share in (0.2, 0.4, 0.6):
            sender.until(partial(_is_beyond, share * SIZE_BYTES))
            kill(receiver)
            receiver = receive(path, folder)
        try:
            sender.finished()
            receiver.finished()
        finally:
            receiver.end()
    received_well(folder)


@pytest.mark.acceptance
def test_persist__reading_again_may_outlast_the_transfer(path: veth.Path, folder: Path) -> None:
    listen = ("receive", "--interface", path.receiver.interface, "--output", str(folder), "--persist", *IMPATIENT)
    slowly = ("--pace", "62mbit", "--size", "24M", *IMPATIENT)  # three seconds, of which one fits the window
    with hand(path.receiver, *listen) as receiver:
        receiver.until(lambda event: event["event"] == "ready")
        with hand(path.sender, "send", *slowly, path.target) as sender:
            sender.until(partial(_is_beyond, 12 << 20))
            kill(receiver)
            with hand(path.receiver, *listen, program=("-c", SLOW_DISK)) as again:  # four seconds
                sender.finished()
                again.finished()


def test_persist__ctrl_c_gives_up(path: veth.Path, folder: Path) -> None:
    receiver = receive(path, folder)
    with hand(path.sender, "send", *SLOWLY, path.target) as sender:
        sender.under_way()
        os.kill(receiver.pid, signal.SIGINT)
        assert receiver.wait() == 128 + signal.SIGINT
        assert sender.wait() == PeerError.exit_code
        assert "the receiver gave up" in sender.said
    receiver.end()
    assert list(folder.iterdir()) == []


def test_persist__what_was_damaged_is_not_believed(path: veth.Path, folder: Path) -> None:
    receiver = receive(path, folder)
    with hand(path.sender, "send", *SLOWLY, "--timeout", "2", path.target) as sender:
        sender.under_way()
        kill(receiver)
        [part] = folder.iterdir()
        part.write_bytes(b"something else")
        again = receive(path, folder)
        try:
            assert again.wait() == IntegrityError.exit_code
            assert "the partial file was altered" in again.said
            assert sender.wait() == PeerError.exit_code
            assert "the partial file was altered" in sender.said
        finally:
            again.end()
    assert list(folder.iterdir()) == []


def test_clean__removes_what_is_left(path: veth.Path, folder: Path) -> None:
    receiver = receive(path, folder)
    kill(receiver)
    command = [sys.executable, "-m", "towline", "kernel", "clean", "--json"]
    gone: Any = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert any("persist" in one for one in gone)


def test_persist__one_process_at_a_time(path: veth.Path, folder: Path) -> None:
    receiver = receive(path, folder)
    try:
        with hand(
            path.receiver, "receive", "--interface", path.receiver.interface, "--output", str(folder), "--persist"
        ) as second:
            assert second.wait() == 3
            assert f"which process {receiver.pid} serves" in second.said
    finally:
        receiver.process.send_signal(signal.SIGINT)
        receiver.wait()
        receiver.end()
