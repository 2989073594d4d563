# SPDX-License-Identifier: GPL-2.0-only
"""The programs that the kernel has are listed, and so is which of them somebody holds."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from towline.kernel.loaded import held_programs, loaded_programs
from towline.kernel.program import Object

PROGRAM = 'SEC("xdp") int tl_loaded(struct xdp_md *ctx) { return XDP_PASS; }'


def ours() -> set[int]:
    return {number for number, name in loaded_programs().items() if name == "tl_loaded"}


def test_loaded_programs__one_comes_and_goes(build: Callable[[str], Path]) -> None:
    before = ours()
    with Object(build(PROGRAM)) as program:
        program.load()
        (number,) = ours() - before
        assert number in held_programs()
    assert number not in held_programs()
    deadline = time.monotonic() + 5  # the kernel frees it some time later
    while number in ours() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert number not in ours()
