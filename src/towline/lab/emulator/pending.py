# SPDX-License-Identifier: GPL-2.0-only
"""Frames in flight in the order in which they are due, in numpy arrays; no statement runs per frame."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]

HELD_MOST_NS = 2_000_000  # a reordered frame waits no longer for others to pass
_NONE = np.empty(0, np.int64)


class Pending:
    """Due times (ns, sorted) and numbers of the frames that wait.

    `due` is the emulator's memory: due times by frame number modulo its length, a power of two. A reordered frame waits
    aside until the frame has come that it is to follow.
    """

    def __init__(self, due: NDArray[Any]) -> None:
        self._memory = due
        self._mask = len(due) - 1
        self._due, self._frames = _NONE, _NONE
        self._held, self._targets, self._latest = _NONE, _NONE, _NONE
        self.overtaken = 0  # reordered frames that others have really passed

    def __len__(self) -> int:
        return len(self._frames) + len(self._held)

    def add(self, first: int, due: Numbers, holds: NDArray[Any]) -> None:
        """Frames `first`, `first` + 1 ...; `holds`: after how many later ones each is to leave (0: in its turn)."""
        frames = np.arange(first, first + len(due))
        if holds.any():
            held = np.flatnonzero(holds)
            self._held = np.concatenate([self._held, frames[held]])
            self._targets = np.concatenate([self._targets, frames[held] + holds[held]])
            self._latest = np.concatenate([self._latest, due[held] + HELD_MOST_NS])
            others = holds == 0
            due, frames = due[others], frames[others]
        self._merge(due, frames)
        if len(self._held):
            self._let_go(first + len(holds))

    def pop(self, until_ns: int, most: int) -> tuple[Numbers, Numbers]:
        """Take up to `most` frames that are due until then; returns their due times and numbers, in order."""
        if len(self._held) and self._latest.min() <= until_ns:
            late = self._latest <= until_ns
            self._merge(self._latest[late], self._held[late])
            self._keep(~late)
        n = min(int(np.searchsorted(self._due, until_ns, "right")), most)
        taken = self._due[:n], self._frames[:n]
        self._due, self._frames = self._due[n:], self._frames[n:]
        return taken

    def next_due(self) -> int | None:
        """When the first is due; None where nothing waits."""
        firsts = [int(times[0]) for times in (self._due,) if len(times)]
        if len(self._held):
            firsts.append(int(self._latest.min()))
        return min(firsts, default=None)

    def oldest(self) -> int | None:
        """The lowest number of a frame that waits."""
        return min((int(frames.min()) for frames in (self._frames, self._held) if len(frames)), default=None)

    def _merge(self, due: Numbers, frames: Numbers) -> None:
        """Sort new ones in; frames that are due together keep their order. Only the end that they meet is sorted."""
        if not len(due):
            return
        met = int(np.searchsorted(self._due, due.min(), "right"))
        due, frames = np.concatenate([self._due[met:], due]), np.concatenate([self._frames[met:], frames])
        if np.any(due[1:] < due[:-1]):
            order = np.argsort(due, kind="stable")
            due, frames = due[order], frames[order]
        self._due = np.concatenate([self._due[:met], due]) if met else due
        self._frames = np.concatenate([self._frames[:met], frames]) if met else frames

    def _let_go(self, head: int) -> None:
        come = self._targets < head
        if not come.any():
            return
        held, targets = self._held[come], self._targets[come]
        own, other = self._memory[held & self._mask], self._memory[targets & self._mask]
        self._keep(~come)
        self._merge(np.maximum(own, other + 1).astype(np.int64), held)
        self.overtaken += len(held)

    def _keep(self, which: NDArray[np.bool_]) -> None:
        self._held, self._targets, self._latest = self._held[which], self._targets[which], self._latest[which]
