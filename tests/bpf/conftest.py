# SPDX-License-Identifier: GPL-2.0-only
"""Both XDP programs, loaded and attached to a pair that is down, so that nothing but the test's packets comes in.

tl<pid>-<start>-<n>t:  va --(veth, down)-- vb    the programs as they are
                       vc --(veth, down)-- vd    mutants of them
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pyroute2 import IPRoute, netns

from tests.bpf.programs import PAYLOAD_MOST, ReceiverProgram, SenderProgram
from tests.namespaces import inside
from towline.delivery import xdp
from towline.framing import ETHERNET
from towline.kernel.link import interface
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
        with inside(name), IPRoute() as route:
            for near, far in ("va", "vb"), ("vc", "vd"):
                route.link("add", ifname=near, kind="veth", peer={"ifname": far})
                for end in (near, far):
                    mtu = ETHERNET.mtu_for(PAYLOAD_MOST)
                    route.link("set", index=route.link_lookup(ifname=end)[0], mtu=mtu)
        yield name
    finally:
        netns.remove(name)


@pytest.fixture(scope="session")
def receiver_program(namespace: str) -> Iterator[ReceiverProgram]:
    """receiver.bpf.c on one end of the pair."""
    with inside(namespace):
        program = ReceiverProgram(interface("va"))
    yield program
    program.close()


@pytest.fixture
def receiver(receiver_program: ReceiverProgram) -> Iterator[ReceiverProgram]:
    """receiver.bpf.c, whose sessions end with the test."""
    yield receiver_program
    receiver_program.close_sessions()


@pytest.fixture(scope="session")
def sender(namespace: str) -> Iterator[SenderProgram]:
    """sender.bpf.c on the other end; it has one lane, which each test sets up anew."""
    with inside(namespace):
        program = SenderProgram(interface("vb"))
    yield program
    program.close()


@pytest.fixture
def mutant(namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mutate]:
    """Make a receiver.bpf.c in which something is wrong: mutate(header, (old text, new text) ...)."""
    folder = tmp_path / "bpf"
    shutil.copytree(xdp.SOURCE.parent, folder)
    made: list[ReceiverProgram] = []

    def mutate(name: str, *changes: tuple[str, str]) -> ReceiverProgram:
        text = (folder / name).read_text()
        for old, new in changes:
            assert text.count(old) == 1, f"{name} has changed: say anew what to break in it"
            text = text.replace(old, new)
        (folder / name).write_text(text)
        with inside(namespace), monkeypatch.context() as patch:
            patch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
            patch.setattr(xdp, "SOURCE", folder / xdp.SOURCE.name)
            made.append(ReceiverProgram(interface("vc")))
        return made[-1]

    yield mutate
    for program in made:
        program.close()
