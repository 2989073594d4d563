# SPDX-License-Identifier: GPL-2.0-only
"""Both XDP programs on a pair that is down, for who looks at them from outside.

tl<pid>-<start>-<n>t:  va0 receiver.h --(veth, down)-- sender.bpf.c vb0
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest
from pyroute2 import netns

from tests.bpf.conftest import new_pair
from tests.bpf.programs import ReceiverProgram, SenderProgram
from towline.kernel.netns import inside
from towline.lab import leftovers


@dataclass(frozen=True, kw_only=True)
class Both:
    """The programs, and the namespace that their interfaces are in."""

    namespace: str
    receiver: ReceiverProgram
    sender: SenderProgram


@contextmanager
def both_programs() -> Iterator[Both]:
    """In a namespace of their own, without a session."""
    [name] = leftovers.namespace_names("t")
    with ExitStack() as stack:
        netns.create(name)
        stack.callback(netns.remove, name)
        with inside(name):
            first, second = new_pair(0)
            receiver = ReceiverProgram(first)
            stack.callback(receiver.close)
            sender = SenderProgram(second)
            stack.callback(sender.close)
        yield Both(namespace=name, receiver=receiver, sender=sender)


@pytest.fixture(scope="module")
def programs() -> Iterator[Both]:
    """Those that the tests of a file share: to load them takes longer than most tests."""
    if os.geteuid() != 0:
        pytest.skip("needs root (CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON; CAP_SYS_ADMIN for namespaces)")
    with both_programs() as made:
        yield made


@pytest.fixture
def both(programs: Both) -> Iterator[Both]:
    """The programs, without a session of an earlier test; a sender has one lane, which each test sets up anew."""
    yield programs
    programs.receiver.close_sessions()


@pytest.fixture
def namespace(namespaces: None) -> Iterator[str]:
    """An empty one."""
    [name] = leftovers.namespace_names("t")
    netns.create(name)
    try:
        yield name
    finally:
        netns.remove(name)
