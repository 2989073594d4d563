# SPDX-License-Identifier: GPL-2.0-only
"""The twin of the sender's program as the memory and the ring buffer that the sending process reads."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests import twins
from towline.protocol.window import Indices

STATE_ARRAYS: dict[str, type[np.generic]] = {"acknowledged": np.uint64, "shown_us": np.uint32}
RECORD = np.dtype([("kind", "u2"), ("flags", "u2"), ("first", "u4"), ("count", "u4")])


class State:
    """The twin as the mapped struct sender_state that it stands for."""

    def __init__(self, twin: twins.Acknowledgements) -> None:
        self._twin = twin

    def __getitem__(self, name: str) -> Any:
        value = getattr(self._twin, name)
        return Words(value, STATE_ARRAYS[name]) if name in STATE_ARRAYS else value


class Words:
    """A ring of words that is indexed by an array of their numbers."""

    def __init__(self, words: list[int], kind: type[np.generic]) -> None:
        self._words = words
        self._kind = kind

    def __len__(self) -> int:
        return len(self._words)

    def __getitem__(self, numbers: Indices) -> NDArray[Any]:
        return np.array([self._words[number] for number in numbers.tolist()], self._kind)


class Records:
    """The sender's ring buffer on delivery ring: XDP submits, the process takes batches."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: list[tuple[int, int, int, int]] = []

    def submit(self, kind: int, flags: int, first: int, count: int) -> bool:
        if len(self._waiting) >= self._most:
            return False
        self._waiting.append((kind, flags, first, count))
        return True

    def batch(self, most: int) -> tuple[NDArray[Any], None]:
        return np.array(self._waiting[:most], RECORD), None

    def release(self, count: int) -> None:
        del self._waiting[:count]
