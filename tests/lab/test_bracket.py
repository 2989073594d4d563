# SPDX-License-Identifier: GPL-2.0-only
"""A run between two looks at the canary: what is recorded, and when it is void."""

from __future__ import annotations

from typing import Any

import pytest

from towline.lab.bracket import bracketed
from towline.lab.canary import Canary, Reading


class FakeCanary(Canary):
    """Tells what it is given, before and after."""

    def __init__(self, before: Reading, after: Reading) -> None:
        self.before, self.after = before, after

    def settled(self) -> Reading:
        return self.before

    def since(self, before: Reading) -> Reading:
        assert before is self.before
        return self.after


def around(memory: float, program: float, **found: Any) -> dict[str, Any]:
    """The record of a run after which the two works take so many times as long."""
    before = Reading(memory_us=1000.0, program_ns=20.0)
    after = Reading(memory_us=1000.0 * memory, program_ns=20.0 * program)
    return bracketed(FakeCanary(before, after), lambda: {"void": False, "void_reason": None} | found)


def test_bracketed__a_machine_that_stays_the_same_counts() -> None:
    found = around(1.03, 0.92)
    assert found["void"] is False
    assert found["canary"] == pytest.approx(0.08)
    assert (found["canary_memory_us"], found["canary_program_ns"]) == (1000.0, 20.0)


@pytest.mark.parametrize(
    ("memory", "program", "why"),
    [
        (1.14, 1.02, "the memory copy took 14% longer after the run than before"),
        (0.8, 1.1, "the memory copy took 20% less after the run than before"),
        (1.05, 1.3, "the empty BPF program took 30% longer after the run than before"),
    ],
)
def test_bracketed__a_canary_that_moved_makes_it_void(memory: float, program: float, why: str) -> None:
    found = around(memory, program)
    assert (found["void"], found["void_reason"]) == (True, why)


def test_bracketed__what_was_void_keeps_its_reason() -> None:
    assert around(2.0, 1.0, void=True, void_reason="the host took it")["void_reason"] == "the host took it"


def test_bracketed__an_error_passes() -> None:
    with pytest.raises(ZeroDivisionError):
        bracketed(FakeCanary(Reading(memory_us=1, program_ns=1), Reading(memory_us=1, program_ns=1)), lambda: 1 // 0)  # type: ignore[arg-type, return-value]
