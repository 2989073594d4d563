# SPDX-License-Identifier: GPL-2.0-only
"""What a soak has left behind, and whether its workers grow."""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from pathlib import Path

from pyroute2 import netns

from towline.kernel.loaded import held_programs, loaded_programs
from towline.lab import leftovers
from towline.lab.soak.worker import Over
from towline.owner import owner

OURS = frozenset({"sender", "receiver", "want", "forward", "backward"})  # programs by their names
_LOOK_S = 0.1
_FREED_S = 5.0  # the kernel frees a program some time after its last holder has gone

# A heap comes to the size of the largest transfers, which are rare: only what grows for ever does so in the second half
# of a worker's life, too.
LIFE_LEAST = 200  # transfers
RECENT = 20
GROWTH_KIB = 32 << 10
GROWTH_FILES = 0


class Left:
    """Made before the first rig; `behind()` after the last one is gone."""

    def __init__(self) -> None:
        self._before = set(loaded_programs())
        self._there = set(_things())

    def behind(self) -> list[str]:
        """In words: namespaces and folders of this process, and programs of ours that nobody holds any more."""
        found = [thing for thing in _things() if thing not in self._there]
        deadline = time.monotonic() + _FREED_S
        programs = self._orphans()
        while programs and time.monotonic() < deadline:
            time.sleep(_LOOK_S)
            still = self._orphans()  # others' come and go meanwhile: only one that stays is left behind
            programs = {number: name for number, name in programs.items() if number in still}
        return found + [f"program {number} {name}" for number, name in programs.items()]

    def _orphans(self) -> dict[int, str]:
        new = {n: name for n, name in loaded_programs().items() if n not in self._before and name in OURS}
        held = held_programs() if new else set()
        return {number: name for number, name in new.items() if number not in held}


def _things() -> list[str]:
    """Namespaces and folders that carry this process's name."""
    folders = {leftovers.MEMORY_FOLDER, Path(tempfile.gettempdir())}
    found = [f"namespace {name}" for name in netns.listnetns() if owner() in name]
    return found + [f"folder {one}" for folder in folders for one in folder.glob(f"towline-{owner()}-*")]


class Growth:
    """What the workers held on to after each transfer; a new worker begins anew."""

    def __init__(self) -> None:
        self._seen: dict[str, list[Over]] = defaultdict(list)

    def note(self, worker: str, over: Over, *, last: bool) -> str | None:
        """One transfer more; what has grown, when the worker ends with it (`last`), or None."""
        seen = self._seen[worker]
        seen.append(over)
        return self.ended(worker) if last else None

    def ended(self, worker: str) -> str | None:
        """What has grown in a worker's life; None for one that did not live long enough to tell."""
        seen = self._seen.pop(worker, [])
        if len(seen) < LIFE_LEAST:
            return None
        half = len(seen) // 2
        first, recent = seen[half - RECENT : half], seen[-RECENT:]
        rss_kib = min(one.rss_kib for one in recent) - max(one.rss_kib for one in first)
        files = min(one.files for one in recent) - max(one.files for one in first)
        if rss_kib > GROWTH_KIB:
            return f"{worker} has grown by {rss_kib} KiB in {len(seen)} transfers"
        if files > GROWTH_FILES:
            return f"{worker} has {files} files more open after {len(seen)} transfers"
        return None

    def all_ended(self) -> list[str]:
        """What has grown in those that are left."""
        return [problem for worker in list(self._seen) if (problem := self.ended(worker))]
