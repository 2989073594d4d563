# SPDX-License-Identifier: GPL-2.0-only
"""The programs that the kernel has are listed, and so is which of them somebody holds."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from towline.errors import PermissionsError
from towline.kernel.loaded import held_programs, loaded_programs, processes_with, program_name
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
        assert [one.split()[:2] for one in processes_with(number)] == [["process", str(os.getpid())]]
    assert number not in held_programs()
    deadline = time.monotonic() + 5  # the kernel frees it some time later
    while number in ours() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert number not in ours()


@pytest.mark.usefixtures("powerless")
def test_loaded_programs__without_the_leave_says_what_is_needed() -> None:
    with pytest.raises(PermissionsError, match=r"listing BPF programs needs .* CAP_SYS_ADMIN"):
        loaded_programs()


def test_program_name__is_a_question_where_it_is_gone() -> None:
    assert program_name(1 << 30) == "?"


@pytest.mark.usefixtures("powerless")
def test_program_name__is_a_question_without_the_leave() -> None:
    assert program_name(1) == "?"
