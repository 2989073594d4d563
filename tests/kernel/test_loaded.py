# SPDX-License-Identifier: GPL-2.0-only
"""Programs that the kernel has are listed, and so is who holds them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from towline.kernel.clang import compile_program
from towline.kernel.loaded import held_programs, loaded_programs
from towline.kernel.program import Object


@pytest.mark.usefixtures("pair")
def test_loaded_programs__a_program_comes_and_goes() -> None:
    before = set(loaded_programs())
    source = Path(__file__).parent / "probe.bpf.c"
    with Object(compile_program(source)) as program:
        program.load()
        new = {number: name for number, name in loaded_programs().items() if number not in before}
        assert new
        assert set(new) & held_programs()
    deadline = time.monotonic() + 5
    while set(new) & set(loaded_programs()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not set(new) & set(loaded_programs())
