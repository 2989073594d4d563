# SPDX-License-Identifier: GPL-2.0-only
"""Frames in flight: in the order in which they are due, and those held back behind others."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from towline.lab.emulator.pending import HELD_MOST_NS, Pending

SIZE = 64
FAR = 10**15


def filled(batches: list[list[tuple[int, int]]]) -> Pending:
    """Frames 0, 1 ... with (due, hold), as they came."""
    memory = np.zeros(SIZE, np.uint64)
    pending, first = Pending(memory), 0
    for batch in batches:
        due = np.array([due for due, _ in batch], np.int64)
        memory[first : first + len(batch)] = due
        pending.add(first, due, np.array([hold for _, hold in batch], np.int64))
        first += len(batch)
    return pending


def popped(pending: Pending, until: int = FAR, most: int = SIZE) -> list[int]:
    frames: list[int] = pending.pop(until, most)[1].tolist()
    return frames


@given(st.lists(st.lists(st.integers(0, 20), min_size=1, max_size=8), max_size=8))
def test_pop__is_by_due_time_and_then_by_arrival(batches: list[list[int]]) -> None:
    pending = filled([[(due, 0) for due in batch] for batch in batches])
    everything = [due for batch in batches for due in batch]
    expected = sorted(range(len(everything)), key=lambda frame: (everything[frame], frame))
    assert pending.oldest() == (0 if everything else None)
    assert pending.next_due() == min(everything, default=None)
    assert popped(pending) == expected
    assert len(pending) == 0


def test_pop__takes_what_is_due_and_no_more_than_asked() -> None:
    pending = filled([[(10, 0), (30, 0), (20, 0), (40, 0)]])
    assert popped(pending, 30, most=2) == [0, 2]
    assert popped(pending, 30) == [1]
    assert popped(pending, 30) == []
    assert (pending.next_due(), pending.oldest()) == (40, 3)


def test_add__held_frames_follow_the_frame_they_wait_for() -> None:
    pending = filled([[(10, 2), (20, 0)], [(30, 0), (40, 0)]])
    assert popped(pending) == [1, 2, 0, 3]
    assert pending.overtaken == 1


def test_add__held_frames_that_wait_for_none_leave_after_a_while() -> None:
    pending = filled([[(10, 3), (20, 0)]])
    assert pending.oldest() == 0
    assert popped(pending, 10 + HELD_MOST_NS - 1) == [1]
    assert pending.next_due() == 10 + HELD_MOST_NS
    assert popped(pending, 10 + HELD_MOST_NS) == [0]
    assert pending.overtaken == 0
