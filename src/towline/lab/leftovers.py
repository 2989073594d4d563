# SPDX-License-Identifier: GPL-2.0-only
"""Names that carry their owner, and the sweeping of what an owner left that is gone, even by `kill -9`.

Namespaces are called `tl<pid>-<start>-<n><end>`, temporary folders `towline-<pid>-<start>-<random>`.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pyroute2 import netns

from towline.owner import is_gone, owner

MEMORY_FOLDER = Path("/dev/shm")  # noqa: S108 (a folder of our own is made in it, by mkdtemp)

_NAMESPACE = re.compile(r"tl(\d+)-([0-9a-z]+)-\d+[a-z]", re.ASCII)
_FOLDER = re.compile(r"towline-(\d+)-([0-9a-z]+)-.+", re.ASCII)
_numbers = itertools.count()


def namespace_names(ends: str) -> list[str]:
    """Names for namespaces that belong together, one for each letter of `ends`; never given twice."""
    number = next(_numbers)
    return [f"tl{owner()}-{number}{end}" for end in ends]


@contextmanager
def temporary_folder(size_bytes: int) -> Iterator[Path]:
    """A folder of our own, in memory where that is possible and `size_bytes` fit, removed afterwards."""
    parent = _temporary_parent(size_bytes)
    folder = Path(tempfile.mkdtemp(prefix=f"towline-{owner()}-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep() -> list[str]:
    """Remove what processes that are gone have left; returns what it was, in words."""
    removed = []
    for name in _orphans(netns.listnetns(), _NAMESPACE):
        with suppress(OSError):  # another sweep was faster
            netns.remove(name)
            removed.append(f"namespace {name}")
    for parent in {MEMORY_FOLDER, Path(tempfile.gettempdir())}:
        with suppress(OSError):
            for name in _orphans([path.name for path in parent.iterdir()], _FOLDER):
                shutil.rmtree(parent / name, ignore_errors=True)
                removed.append(f"folder {parent / name}")
    return removed


def _orphans(names: list[str], pattern: re.Pattern[str]) -> list[str]:
    found = ((name, pattern.fullmatch(name)) for name in sorted(names))
    return [name for name, match in found if match and is_gone(int(match[1]), match[2])]


def _temporary_parent(size_bytes: int) -> Path:
    with suppress(OSError):
        room = os.statvfs(MEMORY_FOLDER)
        # Twice: the file is written there, and the machine needs memory for everything else, too.
        enough = min(room.f_bavail * room.f_frsize, _available_memory_bytes()) > 2 * size_bytes
        if enough and os.access(MEMORY_FOLDER, os.W_OK):
            return MEMORY_FOLDER
    return Path(tempfile.gettempdir())


def _available_memory_bytes() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0
