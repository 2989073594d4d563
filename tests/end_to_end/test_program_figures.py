# SPDX-License-Identifier: GPL-2.0-only
"""A run's record says what the programs in it consist of, and how long they took if the kernel was asked to count."""

from __future__ import annotations

from typing import Any

import pytest

from towline.lab.run import Run, run
from towline.settings import Settings

pytestmark = pytest.mark.usefixtures("namespaces")

FIGURES = ("instructions", "verified_instructions", "jited_bytes")
PROGRAMS = ("sender", "receiver", "emulator")


def record(*, statistics: bool, **settings: Any) -> dict[str, Any]:
    plan = Run(source=4 << 20, settings=Settings(sink="memory", **settings), emulated=True, statistics=statistics)
    return run(plan, lambda _: None)


def test_run__every_program_has_its_figures() -> None:
    found = record(statistics=True, clang_flags_receiver=("-O1",))
    for program in PROGRAMS:
        assert all(found[f"{figure}_{program}"] > 100 for figure in FIGURES)
        assert found[f"verified_instructions_{program}"] > found[f"instructions_{program}"]
        assert 1 < found[f"program_ns_{program}"] < 1e6


def test_run__nothing_is_said_of_what_is_not_there() -> None:
    found = record(statistics=False, datapath_sender="socket")
    assert [found[f"{figure}_sender"] for figure in FIGURES] == [None] * 3
    assert [found[f"program_ns_{program}"] for program in PROGRAMS] == [None] * 3
    assert found["instructions_receiver"] > 100
