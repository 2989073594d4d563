# SPDX-License-Identifier: GPL-2.0-only
"""Programs that are replaced in mid-transfer, good ones and bad ones: the bytes arrive each time.

namespace ...a                      namespace ...b
towline send, tl0     <---------->  towline receive, tl0
      ^                                     ^
      +----------- towline kernel ----------+         of no namespace of theirs

Whatever takes long (to compile, to verify) is done while the sender stands still: how far it comes must not depend on
how busy the machine is.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.hand import Hand, hand, receiving
from towline.bpf import FOLDER, POLICIES, policy_names, policy_source
from towline.lab.environments import veth
from towline.parameter import Role
from towline.running.places import place_called
from towline.running.swap import Swapper

pytestmark = pytest.mark.usefixtures("namespaces")

PATIENT = ("--timeout", "60")  # a sender that was stopped is not dead
SLOWLY = ("--size", "48M", "--pace", "300mbit", *PATIENT)  # more than a second
ROLLED_BACK_IN_S = 10.0


def kernel(*arguments: str, code: int = 0) -> tuple[Any, str]:
    """`towline kernel ... --json`: what it printed, and said."""
    command = [sys.executable, "-m", "towline", "kernel", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout) if done.stdout else None, done.stderr


@contextmanager
def under_way(path: veth.Path) -> Iterator[tuple[Hand, Hand]]:
    """A transfer whose bytes flow: receiver and sender."""
    with (
        receiving(path.receiver, "--sink", "memory", *PATIENT) as receiver,
        hand(path.sender, "send", *SLOWLY, path.target) as sender,
    ):
        sender.under_way()
        yield receiver, sender


@contextmanager
def standing_still(*senders: Hand) -> Iterator[None]:
    """Nothing is sent meanwhile."""
    for one in senders:
        os.kill(one.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for one in senders:
            os.kill(one.pid, signal.SIGCONT)


@contextmanager
def swapping(end: veth.End, role: Role) -> Iterator[Swapper]:
    """Of one end's program."""
    with Swapper(place_called(end.place, role)) as swapper:
        yield swapper


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
    with under_way(path) as (receiver, sender), ExitStack() as stack:
        with standing_still(sender):
            receivers = stack.enter_context(swapping(path.receiver, "receiver"))
            senders = stack.enter_context(swapping(path.sender, "sender"))
            policies = [receivers.load(source) for source in map(policy_source, policy_names())]
            faster = senders.load(FOLDER / "sender.bpf.c", flags=["-O1"])
        versions = [1]
        for policy in policies:
            swapped = receivers.put(policy)
            assert swapped.before == versions[-1]
            assert swapped.effect_s is not None  # a packet went through it
            assert len(swapped.sessions) == 1
            versions.append(swapped.version)
        back = receivers.rollback()
        assert (back.before, back.version) == (versions[-1], versions[-2])
        assert len(set(versions)) == len(versions)
        assert senders.put(faster).effect_s is not None
        record = well(receiver, sender)
    assert record["retransmissions"] == 0  # no packet was lost to a swap
    assert [event["version"] for event in receiver.events if event["event"] == "replaced"]


@pytest.mark.parametrize(
    ("old", "new", "header", "reason"),
    [
        pytest.param(
            "int receiver(struct xdp_md *ctx)\n{",
            "int receiver(struct xdp_md *ctx)\n{{",
            "receiver.h",
            "error:",
            marks=pytest.mark.acceptance,
        ),
        ("	if (!r || !session ||", "	if (!session ||", "receiver.h", "map_value_or_null"),
        pytest.param(
            "#define STATE_VERSION ",
            "#define STATE_VERSION 100 + ",
            "state.h",
            "state_version is ",
            marks=pytest.mark.acceptance,
        ),
        ("	__u32 ack_every;\n", "	__u64 ack_every;\n", "state.h", "receiver_state.ack_every"),
    ],
    ids=["syntax", "verifier", "version", "layout"],
)
def test_swap__what_does_not_fit_changes_nothing(
    path: veth.Path, tmp_path: Path, old: str, new: str, header: str, reason: str
) -> None:
    program = str(altered(tmp_path, old, new, header))
    with under_way(path) as (receiver, sender):
        with standing_still(sender):
            _, said = kernel("swap", path.receiver.place, "receiver", program, code=3)
            assert reason in said
            assert kernel("show", path.receiver.place)[0]["version"] == 1
        assert well(receiver, sender)["retransmissions"] == 0


@pytest.mark.parametrize(
    ("side", "old", "new", "header"),
    [
        ("receiver", "	if (!locate(ctx, &p)) {", "	return XDP_DROP;\n	if (!locate(ctx, &p)) {", "receiver.h"),
        pytest.param(
            "receiver",
            "int verdict = is_answered ?",
            "int verdict = is_answered && r->lock == 77 ?",
            "receiver.h",
            marks=pytest.mark.acceptance,  # the next test has it on a slow link
        ),
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
    path: veth.Path, tmp_path: Path, side: Role, old: str, new: str, header: str
) -> None:
    program = altered(tmp_path, old, new, header)
    end = path.receiver if side == "receiver" else path.sender
    with under_way(path) as (receiver, sender), ExitStack() as stack:
        with standing_still(sender):
            swapper = stack.enter_context(swapping(end, side))
            bad = swapper.load(program if side == "receiver" else tmp_path / header)
        swapper.put(bad)
        hand_of = receiver if side == "receiver" else sender
        back = hand_of.until(lambda event: event["event"] == "rolledback", ROLLED_BACK_IN_S)
        assert (back["side"], back["version"]) == (side, 1)
        well(receiver, sender)


def test_swap__what_never_acknowledges_goes_back_though_its_window_outlasts_a_trial(
    path: veth.Path, tmp_path: Path
) -> None:
    program = altered(tmp_path, "int verdict = is_answered ?", "int verdict = is_answered && r->lock == 77 ?")
    slowly = ("--size", "8M", "--pace", "12mbit", "--window", "1024", *PATIENT)  # a window of 3.4 MB, two seconds
    with (
        # Of larger blocks the process itself would say that there is room again, which is an acknowledgement as well.
        receiving(path.receiver, "--sink", "memory", "--block-size", "64K", *PATIENT) as receiver,
        hand(path.sender, "send", *slowly, path.target) as sender,
    ):
        sender.under_way()
        with swapping(path.receiver, "receiver") as swapper:
            with standing_still(sender):
                bad = swapper.load(program)
            swapper.put(bad)
            back = receiver.until(lambda event: event["event"] == "rolledback", ROLLED_BACK_IN_S)
            assert back["version"] == 1
            well(receiver, sender)
    told = [event["event"] for event in receiver.events if event["event"] in ("replaced", "rolledback")]
    assert told == ["replaced", "rolledback"]


@pytest.mark.acceptance
def test_swap__a_mute_sender_goes_back_though_all_has_left(path: veth.Path, tmp_path: Path) -> None:
    program = altered(tmp_path, "	return bpf_redirect(s->ifindex, 0);", "	return XDP_DROP;", "transmit.h")
    # Less than a window, and quicker than a trial.
    quickly = ("--size", "4M", "--pace", "40mbit", "--window", "4096", *PATIENT)
    with (
        receiving(path.receiver, "--sink", "memory", *PATIENT) as receiver,
        hand(path.sender, "send", *quickly, path.target) as sender,
    ):
        sender.under_way()
        with standing_still(sender), swapping(path.sender, "sender") as swapper:
            swapper.put(swapper.load(program.parent / "sender.bpf.c"))
        back = sender.until(lambda event: event["event"] == "rolledback", ROLLED_BACK_IN_S)
        assert (back["side"], back["version"]) == ("sender", 1)
        well(receiver, sender)


def test_swap__good_programs_stay_where_blocks_and_acknowledgements_take_longer_than_a_trial(path: veth.Path) -> None:
    # A block of 1 MiB takes three seconds, and 256 packets more than two.
    slowly = ("--size", "1M", "--pace", "3mbit", "--acc", "256", *PATIENT)
    with (
        receiving(path.receiver, "--sink", "memory", *PATIENT) as receiver,
        hand(path.sender, "send", *slowly, path.target) as sender,
    ):
        sender.until(lambda event: event["event"] == "started")
        with swapping(path.receiver, "receiver") as receivers, swapping(path.sender, "sender") as senders:
            with standing_still(sender):
                policy = receivers.load(policy_source("fixed"), flags=["-O1"])
                other = senders.load(FOLDER / "sender.bpf.c", flags=["-O1"])
            receivers.put(policy)
            senders.put(other)
            well(receiver, sender)
    for hand_of in (receiver, sender):
        told = [event["event"] for event in hand_of.events]
        assert "replaced" in told
        assert "rolledback" not in told


def test_swap__two_sessions_on_one_interface() -> None:
    # With GRO the second sender's end hears acknowledgements even when the first one has taken its program away.
    with (
        veth.veth(lanes=1, mtu=3394, gro=True) as path,
        receiving(path.receiver, "--sink", "memory", "--keep", *PATIENT) as receiver,
        swapping(path.receiver, "receiver") as swapper,
    ):
        policy = swapper.load(policy_source("every"))
        arguments = ("send", *SLOWLY, path.target)
        with hand(path.sender, *arguments) as first, ExitStack() as stack:
            first.under_way()
            with standing_still(first):
                # The first one holds the hook of their interface, so the second one sends through a socket.
                second = stack.enter_context(hand(path.sender, *arguments))
                second.under_way()
            assert len(swapper.put(policy).sessions) == 2
            for sender in (first, second):
                sender.finished()
        receiver.until(lambda event: event["event"] == "finished")


def test_kernel__names_what_there_is(path: veth.Path) -> None:
    _, said = kernel("show", "nowhere0", code=2)
    assert "there is no program on 'nowhere0'" in said
