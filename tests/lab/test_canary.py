# SPDX-License-Identifier: GPL-2.0-only
"""The canary: how two readings compare, when one is believed, and that a busy machine is seen."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from towline.lab import canary
from towline.lab.canary import READINGS_MOST, Canary, Reading

CPUS = len(os.sched_getaffinity(0))
QUIET = Reading(memory_us=1000.0, program_ns=20.0)


def reading(factor: float) -> Reading:
    return Reading(memory_us=1000.0, program_ns=20.0 * factor)


class Told(Canary):
    """Tells one reading after the other, the last one for ever."""

    def __init__(self, *factors: float) -> None:
        self.left = list(factors)
        self.told = 0

    def measure(self) -> Reading:
        self.told += 1
        return reading(self.left.pop(0) if len(self.left) > 1 else self.left[0])


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canary, "PAUSE_S", 0.0)


@pytest.mark.parametrize(
    ("memory", "program", "moved"), [(1000.0, 20.0, 0.0), (1100.0, 20.2, 0.1), (990.0, 15.0, 0.25), (500.0, 20.0, 0.5)]
)
def test_moved__is_the_larger_change_up_or_down(memory: float, program: float, moved: float) -> None:
    assert Reading(memory_us=memory, program_ns=program).moved(QUIET) == pytest.approx(moved)


@pytest.mark.parametrize(
    ("factors", "found", "readings"),
    [((1.0, 1.02), 1.02, 2), ((1.5, 1.0, 1.01), 1.01, 3), ((1, 2, 4, 8, 16, 32), 16, READINGS_MOST)],
)
def test_settled__is_a_reading_that_the_one_before_agrees_with(
    factors: tuple[float, ...], found: float, readings: int
) -> None:
    told = Told(*factors)
    assert told.settled() == reading(found)
    assert told.told == readings


@pytest.mark.parametrize(
    ("factors", "found", "readings"),
    [((1.04,), 1.04, 1), ((1.4, 1.3, 1.05), 1.05, 3), ((1.5, 1.2, 1.3, 1.6, 1.7), 1.2, READINGS_MOST)],
)
def test_since__what_passes_is_no_other_machine(factors: tuple[float, ...], found: float, readings: int) -> None:
    told = Told(*factors)
    assert told.since(QUIET) == reading(found)
    assert told.told == readings


@pytest.fixture
def hog() -> Iterator[None]:
    """Something on every processor, until the test is over."""
    hogs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * CPUS)]
    yield
    for one in hogs:
        one.kill()
        one.wait()


@pytest.mark.usefixtures("namespaces")
def test_measure__sees_that_others_are_on_the_processors(request: pytest.FixtureRequest) -> None:
    with Canary() as real:
        before = min((real.measure() for _ in range(3)), key=lambda one: one.program_ns)
        request.getfixturevalue("hog")
        assert real.measure().program_ns > 1.5 * before.program_ns
