# SPDX-License-Identifier: GPL-2.0-only
"""Programs that are replaced in mid-transfer, good ones and bad ones: the bytes arrive each time.

namespace ...a                      namespace ...b
towline send, tl0     <---------->  towline receive, tl0
      ^                                     ^
      +----------- towline kernel ----------+         of no namespace of theirs
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.hand import Hand, hand, receiving
from towline.bpf import FOLDER, POLICIES
from towline.lab.environments import veth

pytestmark = pytest.mark.usefixtures("namespaces")

SLOWLY = ("--size", "96M", "--pace", "200mbit")  # four seconds
SLOWER = ("--size", "240M", "--pace", "200mbit")
DEAF = "	return ctx->rx_queue_index < 99 ? XDP_DROP : from_wire(ctx);"
ROLLED_BACK_IN_S = 10.0


def kernel(*arguments: str, code: int = 0) -> tuple[Any, str]:
    """`towline kernel ... --json`: what it printed, and said."""
    command = [sys.executable, "-m", "towline", "kernel", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout) if done.stdout else None, done.stderr


@contextmanager
def under_way(path: veth.Path, how: tuple[str, ...] = SLOWLY) -> Iterator[tuple[Hand, Hand]]:
    """A transfer whose bytes flow: receiver and sender."""
    with (
        receiving(path.receiver, "--sink", "memory") as receiver,
        hand(path.sender, "send", *how, path.target) as sender,
    ):
        sender.under_way()
        yield receiver, sender


def place(end: veth.End) -> str:
    """As `towline kernel` is told."""
    return f"{end.namespace}/{end.interface}"


def altered(folder: Path, old: str, new: str, header: str = "receiver.h") -> Path:
    """The usual policy's program with something else in one of the files: all of them in one folder."""
    for path in (*FOLDER.glob("*.[ch]"), *POLICIES.glob("*.c")):
        shutil.copy(path, folder)
    text = (folder / header).read_text()
    assert text.count(old) == 1, f"{header} has changed: say anew what to alter"
    (folder / header).write_text(text.replace(old, new))
    return folder / "fixed.bpf.c"


def well(receiver: Hand, sender: Hand) -> dict[str, Any]:
    """Both have ended well, and the receiver's digest was the sender's: its record."""
    record = sender.finished()
    receiver.finished()
    return record


def test_swap__every_policy_takes_its_turn(path: veth.Path) -> None:
    with under_way(path, SLOWER) as (receiver, sender):
        [there] = [one for one in kernel("list")[0] if one["interface"] == place(path.receiver)]
        assert (there["role"], there["version"], len(there["sessions"])) == ("receiver", 1, 1)
        versions = [there["version"]]
        for policy in sorted(POLICIES.glob("*.bpf.c")):
            swapped, _ = kernel("swap", place(path.receiver), "receiver", str(policy))
            assert swapped["before"] == versions[-1]
            assert swapped["effect_s"] is not None
            assert swapped["sessions"] == [there["sessions"][0]["number"]]
            versions.append(swapped["version"])
        back, _ = kernel("rollback", place(path.receiver))
        assert (back["before"], back["version"]) == (versions[-1], versions[-2])
        assert len(set(versions)) == len(versions)
        swapped, _ = kernel("swap", place(path.sender), "sender", str(FOLDER / "sender.bpf.c"), "--clang-flags=-O1")
        assert swapped["effect_s"] is not None
        record = well(receiver, sender)
    assert record["retransmissions"] == 0  # no packet was lost to a swap
    assert [event["version"] for event in receiver.events if event["event"] == "replaced"]


@pytest.mark.parametrize(
    ("old", "new", "header", "reason"),
    [
        ("int receiver(struct xdp_md *ctx)\n{", "int receiver(struct xdp_md *ctx)\n{{", "receiver.h", "error:"),
        ("	if (!r || !session ||", "	if (!session ||", "receiver.h", "map_value_or_null"),
        ("#define STATE_VERSION 3", "#define STATE_VERSION 4", "state.h", "state_version is 3"),
        ("	__u32 ack_every;\n", "	__u64 ack_every;\n", "state.h", "receiver_state.ack_every"),
    ],
    ids=["syntax", "verifier", "version", "layout"],
)
def test_swap__what_does_not_fit_changes_nothing(
    path: veth.Path, tmp_path: Path, old: str, new: str, header: str, reason: str
) -> None:
    with under_way(path) as (receiver, sender):
        _, said = kernel("swap", place(path.receiver), "receiver", str(altered(tmp_path, old, new, header)), code=3)
        assert reason in said
        assert kernel("show", place(path.receiver))[0]["version"] == 1
        assert well(receiver, sender)["retransmissions"] == 0


@pytest.mark.parametrize(
    ("side", "old", "new", "header"),
    [
        ("receiver", "	if (!locate(ctx, &p)) {", "	return XDP_DROP;\n	if (!locate(ctx, &p)) {", "receiver.h"),
        ("receiver", "	if (answer == ACKNOWLEDGE)", "	if (answer == ACKNOWLEDGE && r->lock == 77)", "receiver.h"),
        (
            "receiver",
            "	unlock(&r->lock);\n	return verdict;",
            "	WRITE_ONCE(r->lock, 99);\n	return verdict;",
            "receiver.h",
        ),
        (
            "sender",
            "	return from_wire(ctx);",
            "	return ctx->rx_queue_index < 99 ? XDP_DROP : from_wire(ctx);",
            "sender.bpf.c",
        ),
    ],
    ids=["drops", "never acknowledges", "keeps the lock", "deaf sender"],
)
def test_swap__what_stops_the_transfer_goes_back_by_itself(
    path: veth.Path, tmp_path: Path, side: str, old: str, new: str, header: str
) -> None:
    program = altered(tmp_path, old, new, header)
    end = path.receiver if side == "receiver" else path.sender
    with under_way(path) as (receiver, sender):
        kernel("swap", place(end), side, str(program if side == "receiver" else tmp_path / header))
        hand_of = receiver if side == "receiver" else sender
        back = hand_of.until(lambda event: event["event"] == "rolledback", ROLLED_BACK_IN_S)
        assert (back["side"], back["version"]) == (side, 1)
        well(receiver, sender)


def test_swap__two_sessions_on_one_interface() -> None:
    # With GRO the second sender's end hears acknowledgements even when the first one has taken its program away.
    with (
        veth.veth(lanes=1, mtu=3394, gro=True) as path,
        receiving(path.receiver, "--sink", "memory", "--keep") as receiver,
    ):
        arguments = ("send", *SLOWLY, path.target)
        with hand(path.sender, *arguments) as first, ExitStack() as stack:
            first.under_way()
            # The first one holds the hook of their interface, so the second one sends through a socket.
            second = stack.enter_context(hand(path.sender, *arguments))
            second.under_way()
            swapped, _ = kernel("swap", place(path.receiver), "receiver", str(POLICIES / "every.bpf.c"))
            assert len(swapped["sessions"]) == 2
            for sender in (first, second):
                sender.finished()
        receiver.until(lambda event: event["event"] == "finished")


def test_kernel__names_what_there_is(path: veth.Path) -> None:
    _, said = kernel("show", "nowhere0", code=2)
    assert "there is no program on 'nowhere0'" in said
