# SPDX-License-Identifier: GPL-2.0-only
"""A path with a middle that loses, damages or goes dark.

namespace ...a       namespace ...m                          namespace ...b
tl0 02:..:0a  <-->  left --(XDP_REDIRECT, both ways)-- right  <-->  tl0 02:..:0b
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyroute2 import netns

from towline.kernel.attach import attach
from towline.kernel.clang import compile_program
from towline.kernel.link import interface
from towline.kernel.netns import inside
from towline.kernel.program import Object
from towline.lab import leftovers
from towline.lab.environments.veth import INTERFACE, RECEIVER_MAC, SENDER_MAC, End

SOURCE = Path(__file__).parent / "middle.bpf.c"


@dataclass(frozen=True, kw_only=True)
class Middle:
    """`forward` and `backward` are the program's struct direction, one each way: write the impairments into them."""

    sender: End
    receiver: End
    forward: Any
    backward: Any


@contextmanager
def middle(*, queues: int = 1) -> Iterator[Middle]:
    """The three namespaces; everything is gone afterwards."""
    with ExitStack() as stack:
        near, between, far = leftovers.namespace_names("amb")
        for name in (near, between, far):
            netns.create(name)
            stack.callback(netns.remove, name)
        _cable(near, SENDER_MAC, between, "left", queues)
        _cable(far, RECEIVER_MAC, between, "right", queues)
        program = stack.enter_context(Object(compile_program(SOURCE)))
        program.load()
        with inside(between):
            links = [interface(side).index for side in ("left", "right")]
            for index, name in zip(links, ("from_sender", "from_receiver"), strict=True):
                stack.enter_context(attach(program.program(name), index, "native"))
        forward, backward = program.globals("forward"), program.globals("backward")
        backward["out"], forward["out"] = links
        yield Middle(
            sender=End(namespace=near, interface=INTERFACE, mac=SENDER_MAC),
            receiver=End(namespace=far, interface=INTERFACE, mac=RECEIVER_MAC),
            forward=forward,
            backward=backward,
        )


def _cable(end: str, mac: str, between: str, side: str, queues: int) -> None:
    width = ["numtxqueues", str(queues), "numrxqueues", str(queues)]
    _ip(
        *("-n", end, "link", "add", INTERFACE, "address", mac, *width, "type", "veth"),
        *("peer", side, "netns", between, *width),
    )
    # A veth takes redirected frames only where its other end polls: with a native program, or with GRO. The sender's
    # program comes after the handshake.
    subprocess.run(["ip", "netns", "exec", end, "ethtool", "-K", INTERFACE, "gro", "on"], check=True)
    _ip("-n", end, "link", "set", INTERFACE, "up")
    _ip("-n", between, "link", "set", side, "up")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
