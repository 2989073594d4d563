# SPDX-License-Identifier: GPL-2.0-only
"""Both XDP programs, loaded and attached to a pair that is down, so that nothing but the test's packets comes in.

tl<pid>-<start>-<n>t:  va0 --(veth, down)-- vb0    a pair for each program
                       va1 --(veth, down)-- vb1
                       ...
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pyroute2 import IPRoute, netns

from tests.bpf.programs import PAYLOAD_MOST, ReceiverProgram, SenderProgram
from tests.levels import SHARED
from towline.bpf import FOLDER, policy_source
from towline.delivery import xdp
from towline.framing import LEVELS, UDP6
from towline.kernel.link import Interface, interface
from towline.kernel.netns import inside
from towline.lab import leftovers

Mutate = Callable[..., ReceiverProgram]


@pytest.fixture(scope="session")
def namespace() -> Iterator[str]:
    """A namespace that holds the pairs."""
    if os.geteuid() != 0:
        pytest.skip("needs root (CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON; CAP_SYS_ADMIN for namespaces)")
    [name] = leftovers.namespace_names("t")
    netns.create(name)
    try:
        yield name
    finally:
        netns.remove(name)


def new_pair(number: int) -> tuple[Interface, Interface]:
    """Both ends of a new pair, in this thread's namespace."""
    ends = f"va{number}", f"vb{number}"
    with IPRoute() as route:
        route.link("add", ifname=ends[0], kind="veth", peer={"ifname": ends[1]})
        for end in ends:
            route.link("set", index=route.link_lookup(ifname=end)[0], mtu=UDP6.mtu_for(PAYLOAD_MOST))
    return interface(ends[0]), interface(ends[1])


class Programs:
    """The programs by what they serve, each loaded when it is asked for the first time.

    A sender stands opposite the receiver of its level: a native program at the other end is what live frames need.
    """

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._made: dict[tuple[str, str], ReceiverProgram | SenderProgram] = {}
        self._pairs: list[tuple[Interface, Interface]] = []
        self._of: dict[str, tuple[Interface, Interface]] = {}

    def pair(self) -> tuple[Interface, Interface]:
        """One that nobody has."""
        with inside(self._namespace):
            self._pairs.append(new_pair(len(self._pairs)))
        return self._pairs[-1]

    def receiver(self, name: str) -> ReceiverProgram:
        """receiver.h at a level, or at all that go together ("shared")."""
        if ("receiver", name) not in self._made:
            levels = SHARED if name == "shared" else (LEVELS[name],)
            self._of[name] = self.pair()
            with inside(self._namespace):
                self._made["receiver", name] = ReceiverProgram(self._of[name][0], *levels)
        made = self._made["receiver", name]
        assert isinstance(made, ReceiverProgram)
        return made

    def sender(self, name: str) -> SenderProgram:
        """sender.bpf.c at a level; it has one lane, which each test sets up anew."""
        if ("sender", name) not in self._made:
            self.receiver(name)
            with inside(self._namespace):
                self._made["sender", name] = SenderProgram(self._of[name][1], LEVELS[name])
        made = self._made["sender", name]
        assert isinstance(made, SenderProgram)
        return made

    def close(self) -> None:
        """Detach them all."""
        for program in self._made.values():
            program.close()


@pytest.fixture(scope="session")
def programs(namespace: str) -> Iterator[Programs]:
    """Both programs at every level."""
    made = Programs(namespace)
    yield made
    made.close()


@pytest.fixture
def receiver(programs: Programs, request: pytest.FixtureRequest) -> Iterator[ReceiverProgram]:
    """receiver.h at level `ethernet`, or at the one that is the parameter; its sessions end with the test."""
    program = programs.receiver(getattr(request, "param", "ethernet"))
    yield program
    program.close_sessions()


@pytest.fixture
def sender(programs: Programs, request: pytest.FixtureRequest) -> SenderProgram:
    """sender.bpf.c at level `ethernet`, or at the one that is the parameter."""
    return programs.sender(getattr(request, "param", "ethernet"))


@pytest.fixture
def mutant(programs: Programs, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mutate]:
    """Make a receiver.h in which something is wrong: mutate(header, (old text, new text) ...)."""
    folder = tmp_path / "bpf"
    shutil.copytree(FOLDER, folder)
    made: list[ReceiverProgram] = []

    def mutate(name: str, *changes: tuple[str, str]) -> ReceiverProgram:
        text = (folder / name).read_text()
        for old, new in changes:
            assert text.count(old) == 1, f"{name} has changed: say anew what to break in it"
            text = text.replace(old, new)
        (folder / name).write_text(text)
        with inside(namespace), monkeypatch.context() as patch:
            patch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
            patch.setattr(xdp, "policy_source", lambda policy: folder / policy_source(policy).relative_to(FOLDER))
            patch.setattr(xdp, "INCLUDE", f"-I{folder}")
            made.append(ReceiverProgram(programs.pair()[0]))
        return made[-1]

    yield mutate
    for program in made:
        program.close()
