# SPDX-License-Identifier: GPL-2.0-only
"""What a program says of itself comes back from the kernel as it was put in, or cut where there is no room."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from towline.kernel.attached import Program
from towline.kernel.identity import Identity
from towline.kernel.program import Object

OURS = """
const volatile u32 program_version = 7;
const volatile char program_source[16];
const volatile char program_flags[16];
SEC("xdp") int tl_ours(struct xdp_md *ctx) { return program_version ? XDP_PASS : XDP_DROP; }
"""
SILENT = """
const volatile u32 something = 7;
SEC("xdp") int tl_silent(struct xdp_md *ctx) { return something ? XDP_PASS : XDP_DROP; }
"""


def said(build: Callable[[str], Path], text: str, given: Identity | None) -> Identity:
    """By the program of a text, which was given an identity before it was loaded."""
    with Object(build(text)) as made:
        if given:
            made.set_constants(**given.constants(made.constants()))
        made.load()
        [name] = made.program_names()
        with Program(os.dup(made.program(name))) as program:
            return Identity.of(program)


@pytest.mark.parametrize(
    ("source", "flags", "shown"),
    [
        ("mine.bpf.c", [], ""),
        ("m.c", ["-O3", "-DX=a b"], "-O3 '-DX=a b'"),
        ("fifteen_bytes.c", ["-DFIFTEENBYTES1"], "-DFIFTEENBYTES1"),
    ],
)
def test_identity__comes_back(build: Callable[[str], Path], source: str, flags: list[str], shown: str) -> None:
    given = Identity.made(3, Path("/some/folder") / source, flags)
    assert said(build, OURS, given) == given == Identity(version=3, source=source, flags=shown)


def test_identity__what_does_not_fit_is_cut_where_one_sees_it(build: Callable[[str], Path]) -> None:
    given = Identity.made(3, Path("a_very_long_name.bpf.c"), ["-O2", "-DSOMETHING=1"])
    assert said(build, OURS, given) == Identity(version=3, source="a_very_long_...", flags="-O2 -DSOMETH...")


def test_identity__of_a_program_that_does_not_say(build: Callable[[str], Path]) -> None:
    assert said(build, SILENT, None) == Identity(version=0, source="", flags="")
