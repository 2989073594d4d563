# SPDX-License-Identifier: GPL-2.0-only
"""One transfer that runs for as long as somebody looks at it, and ends as with Ctrl-C.

namespace ...a                      namespace ...b
towline send, tl0     <---------->  towline receive, tl0
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from tests.conftest import ours
from tests.end_to_end.hand import Hand, hand, receiving
from towline.kernel import bpffs
from towline.lab.environments import veth
from towline.parameter import Role
from towline.running.places import Place, places

FOR_EVER = ("--size", "100G", "--pace", "200mbit")  # more than an hour


@dataclass(frozen=True, kw_only=True)
class LongTransfer:
    """Both commands, and where they run."""

    path: veth.Path
    receiver: Hand
    sender: Hand

    def name(self, role: Role) -> str:
        """The interface of one side, as it is typed."""
        end = self.path.receiver if role == "receiver" else self.path.sender
        return end.place

    def place(self, role: Role) -> Place:
        """As it is now."""
        [found] = [place for place in places() if place.name == self.name(role)]
        return found


@contextmanager
def long_transfer() -> Iterator[LongTransfer]:
    """Bytes flow when it begins; nothing is left when it ends, of what was swapped neither."""
    if os.geteuid() != 0:
        pytest.skip("needs root (CAP_SYS_ADMIN and CAP_NET_ADMIN for namespaces, CAP_BPF for programs)")
    before = ours()
    with (
        veth.veth(lanes=2, mtu=3394) as path,
        receiving(path.receiver, "--sink", "memory") as receiver,
        hand(path.sender, "send", *FOR_EVER, path.target) as sender,
    ):
        sender.under_way()
        running = LongTransfer(path=path, receiver=receiver, sender=sender)
        links = {running.place(role).link for role in ("receiver", "sender")}
        yield running
        sender.process.send_signal(signal.SIGINT)
        assert sender.wait() == 128 + signal.SIGINT, sender.said
        assert receiver.wait() == 6, receiver.said  # the other side aborted: until then all was well
    folder = bpffs.existing()
    kept = {path.name for path in (folder / "links").glob("*")} if folder else set()
    assert kept & set(map(str, links)) == set()
    assert ours() - before == set()
