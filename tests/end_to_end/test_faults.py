# SPDX-License-Identifier: GPL-2.0-only
"""What goes wrong in mid-transfer, or before it: each ends in bounded time, says why, and leaves nothing.

namespace ...a                      namespace ...b
towline send, tl0     <---------->  towline receive, tl0
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.end_to_end.hand import Hand, hand, receiving
from towline.errors import FileError, NoReceiverError, PeerError, PermissionsError
from towline.kernel.link import interface, xdp_holder
from towline.kernel.netns import inside
from towline.lab import verify
from towline.lab.environments import veth

SLOWLY = ("--size", "1G", "--pipelining", "0", "--acc", "1")  # stop and wait: minutes, unless somebody ends it
TIMEOUT_S = 2
SOON = ("--timeout", str(TIMEOUT_S))
SOON_ENOUGH_S = TIMEOUT_S + 2  # as 12 s are to the default of 10


def send(path: veth.Path, *arguments: str) -> list[str]:
    """The words of `towline send`."""
    return ["send", *arguments, path.target]


def complaint(running: Hand) -> str:
    """The one line that it says on stderr."""
    assert running.said.startswith("towline: ")
    assert running.said.count("\n") == 1
    return running.said


def set_link(path: veth.Path, side: str, state: str) -> None:
    """Take one side's interface down or up."""
    namespace = getattr(path, side).namespace
    subprocess.run(["ip", "-n", namespace, "link", "set", path.sender.interface, state], check=True)


def has_program(end: veth.End) -> bool:
    """Whether anything is left on an interface's XDP hook."""
    with inside(end.namespace):
        return xdp_holder(interface(end.interface).index) is not None


@pytest.mark.usefixtures("namespaces")
def test_kill__the_other_side_ends_by_itself(folder: Path) -> None:
    """A receiver and a sender of two transfers at once, since the others wait for as long as the time-out."""
    left, kept = folder / "left", folder / "kept"
    left.mkdir()
    kept.mkdir()
    with (
        veth.veth() as one,
        veth.veth() as two,
        receiving(one.receiver, "--output", str(left), *SOON) as dying_receiver,
        receiving(two.receiver, "--output", str(kept), *SOON) as receiver,
        hand(one.sender, *send(one, *SLOWLY, *SOON)) as sender,
        hand(two.sender, *send(two, *SLOWLY, *SOON)) as dying_sender,
    ):
        sender.under_way()
        receiver.under_way()
        os.kill(dying_receiver.pid, signal.SIGKILL)
        os.kill(dying_sender.pid, signal.SIGKILL)
        killed = time.monotonic()
        for survivor in (sender, receiver):
            assert survivor.wait(SOON_ENOUGH_S) == PeerError.exit_code
            assert time.monotonic() - killed >= TIMEOUT_S - 1
            assert f"died: silent for {TIMEOUT_S} s (last progress: " in complaint(survivor)
            last = max(event["done_bytes"] for event in survivor.events if event["event"] == "progress")
            said = survivor.said.partition("last progress: ")[2].split()
            assert int(said[0]) >= last > 0
            assert said[2] == str(1 << 30)
        assert list(kept.iterdir()) == []
        assert not any(has_program(end) for end in (one.sender, one.receiver, two.sender, two.receiver))


@pytest.mark.parametrize(("side", "number"), [("sender", signal.SIGINT), ("receiver", signal.SIGTERM)])
def test_signal__the_other_side_is_told_at_once(
    path: veth.Path, folder: Path, side: str, number: signal.Signals
) -> None:
    with (
        receiving(path.receiver, "--output", str(folder)) as receiver,
        hand(path.sender, *send(path, *SLOWLY)) as sender,
    ):
        receiver.under_way()
        assert has_program(path.sender)
        assert has_program(path.receiver)
        stopped, other = (sender, receiver) if side == "sender" else (receiver, sender)
        os.kill(stopped.pid, number)
        assert stopped.wait(5) == 128 + number
        assert stopped.said == ""
        assert other.wait(2) == PeerError.exit_code
        assert f"aborted: the {side} gave up" in complaint(other)
        assert "last progress: " in other.said
        assert list(folder.iterdir()) == []
        assert not has_program(path.sender)
        assert not has_program(path.receiver)


def test_send__no_receiver(path: veth.Path) -> None:
    with hand(path.sender, *send(path, "--size", "1M", "--timeout", "1")) as sender:
        assert sender.wait(10) == NoReceiverError.exit_code
        assert f"No receiver answered at {path.target} within 1 s" in complaint(sender)


def test_receive__goes_on_after_a_sender_that_gave_up(path: veth.Path, folder: Path) -> None:
    with receiving(path.receiver, "--output", str(folder), "--keep") as receiver:
        with hand(path.sender, *send(path, *SLOWLY)) as first:
            receiver.under_way()
            os.kill(first.pid, signal.SIGTERM)
            first.wait(5)
        failed = receiver.until(lambda event: event["event"] == "failed")
        assert "the sender gave up" in failed["reason"]
        with hand(path.sender, *send(path, "--size", "1M", "--seed", "7")) as second:
            second.finished()
        assert [one.name for one in folder.iterdir()] == [f"random-{1 << 20}-7"]


@pytest.mark.parametrize("side", ["sender", "receiver"])
def test_link__is_down_for_a_while(path: veth.Path, folder: Path, side: str) -> None:
    """Its own sockets fail meanwhile, and the other side has no carrier, as where a cable is pulled."""
    with (
        receiving(path.receiver, "--output", str(folder)) as receiver,
        hand(path.sender, *send(path, "--size", "512M")) as sender,
    ):
        sender.under_way()
        set_link(path, side, "down")
        time.sleep(0.5)
        set_link(path, side, "up")
        assert sender.process.poll() is None
        assert sender.finished()["retransmissions"] > 0
        receiver.finished()
    (arrived,) = folder.iterdir()
    assert verify.same(verify.source_chunks(1 << 29, 0), arrived)


# ---- what is in the way


@pytest.mark.parametrize("side", ["sender", "receiver"])
def test_by_hand__link_down(path: veth.Path, folder: Path, side: str) -> None:
    set_link(path, side, "down")
    words = send(path, "--size", "1M")
    if side == "receiver":
        words = ["receive", "--interface", path.receiver.interface, "--output", str(folder)]
    with hand(getattr(path, side), *words) as running:
        assert running.wait() == FileError.exit_code
        assert f"ip link set dev {path.sender.interface} up" in complaint(running)


def test_send__unreadable_file(path: veth.Path, tmp_path: Path) -> None:
    missing, closed = tmp_path / "missing", tmp_path / "closed"
    closed.write_bytes(b"secret")
    closed.chmod(0)
    nobody_of_all = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all")
    for file, says in ((missing, "No such file"), (closed, "Permission denied"), (tmp_path, "not a regular file")):
        with hand(path.sender, *send(path, str(file)), before=nobody_of_all) as sender:
            assert sender.wait() == FileError.exit_code
            assert complaint(sender).startswith(f"towline: {file}: ")
            assert says in sender.said


@pytest.mark.parametrize("side", ["sender", "receiver"])
def test_by_hand__without_permission(path: veth.Path, folder: Path, side: str) -> None:
    end = getattr(path, side)
    words = send(path, "--size", "1M")
    if side == "receiver":
        words = ["receive", "--interface", end.interface, "--output", str(folder), "--level", "ethernet"]
    with hand(end, *words, before=("setpriv", "--bounding-set=-all", "--inh-caps=-all")) as running:
        assert running.wait() == PermissionsError.exit_code
        assert complaint(running).startswith("towline: No permission: ")
        assert "sudo" in running.said


def test_receive__a_full_disk_is_told_to_the_sender(path: veth.Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "towline-test", str(disk)], check=True)
    try:
        with (
            receiving(path.receiver, "--output", str(disk)) as receiver,
            hand(path.sender, *send(path, "--size", "8M")) as sender,
        ):
            assert receiver.wait() == FileError.exit_code
            assert f"towline: {disk}" in complaint(receiver)
            assert sender.wait(5) == PeerError.exit_code
            assert "No space left" in complaint(sender)
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)
