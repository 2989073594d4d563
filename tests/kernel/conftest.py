# SPDX-License-Identifier: GPL-2.0-only
"""What the tests of the kernel room share: compiled C from a string, a pair of interfaces."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from pyroute2 import IPRoute, netns

from towline.kernel.clang import compile_program
from towline.kernel.netns import inside

PREAMBLE = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
typedef __u8 u8; typedef __u16 u16; typedef __u32 u32; typedef __u64 u64;
typedef __s16 s16; typedef __s32 s32;
char _license[] SEC("license") = "GPL";
"""
_NOBODY = 65534
_number = count()


@pytest.fixture(autouse=True)
def root(request: pytest.FixtureRequest) -> None:
    """All but compiling needs the kernel's leave."""
    if os.geteuid() != 0 and request.node.path.name != "test_clang.py":
        pytest.skip("needs root (CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON; CAP_SYS_ADMIN for namespaces)")


@pytest.fixture
def powerless() -> Iterator[None]:
    """This process without its capabilities."""
    os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Compile a program from its text (behind PREAMBLE), with a cache that only this test sees."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def compiled(text: str) -> Path:
        source = tmp_path / f"program{next(_number)}.bpf.c"
        source.write_text(PREAMBLE + text)
        return compile_program(source)

    return compiled


@pytest.fixture
def pair() -> Iterator[tuple[int, int]]:
    """The indices of two interfaces in a namespace that the test runs in:

    tltest<pid>:  va 02:00:00:00:00:0a --(veth)-- vb 02:00:00:00:00:0b
    """
    name = f"tltest{os.getpid()}-{next(_number)}"
    netns.create(name)
    try:
        with inside(name):
            with IPRoute() as route:
                route.link("add", ifname="va", kind="veth", peer={"ifname": "vb"})
                found = [route.link_lookup(ifname=end)[0] for end in ("va", "vb")]
                for index, last in zip(found, ("0a", "0b"), strict=True):
                    route.link("set", index=index, address=f"02:00:00:00:00:{last}", state="up")
            yield found[0], found[1]
    finally:
        netns.remove(name)
