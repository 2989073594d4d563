# SPDX-License-Identifier: GPL-2.0-only
"""Differences of two programs' memory are named."""

from __future__ import annotations

import numpy as np
import pytest

from towline.kernel.layout import differences

INNER = [("x", "<u4"), ("y", "<u8")]
OTHER = [("x", "<u4"), ("y", "<i8")]
RUNNING = np.dtype([("a", "<u4"), ("b", "<u4"), ("list", "<u8", 4), ("inner", INNER, 2)])


def test_differences__none() -> None:
    assert list(differences(RUNNING, np.dtype(RUNNING.descr), "state")) == []


@pytest.mark.parametrize(
    ("new", "said"),
    [
        ([("a", "<u8"), ("b", "<u4"), ("list", "<u8", 4), ("inner", INNER, 2)], "state.a is u32 in the running"),
        ([("a", "<u4"), ("c", "<u4"), ("list", "<u8", 4), ("inner", INNER, 2)], "state.b is not in the new"),
        ([("b", "<u4"), ("a", "<u4"), ("list", "<u8", 4), ("inner", INNER, 2)], "state.a stands at byte 0"),
        ([("a", "<u4"), ("b", "<i4"), ("list", "<u8", 4), ("inner", INNER, 2)], "state.b is u32"),
        ([("a", "<u4"), ("b", "<u4"), ("list", "<u8", 5), ("inner", INNER, 2)], "state.list has 4 elements"),
        (
            [("a", "<u4"), ("b", "<u4"), ("list", "<u8", 4), ("inner", OTHER, 2)],
            "inner.y is u64",
        ),
        ([("a", "<u4"), ("b", "<u4"), ("list", "<u8", 4), ("inner", INNER, 2), ("d", "u1")], "state.d is not in the"),
    ],
)
def test_differences__are_named(new: list[object], said: str) -> None:
    first = next(iter(differences(RUNNING, np.dtype(new), "state")))
    assert said in first
