# SPDX-License-Identifier: GPL-2.0-only
"""The bench: rounds in which everybody runs once, under the same conditions, in the same order."""

from __future__ import annotations

import datetime
import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import towline
from benchmarks.contestants import CONTESTANTS, LARGER, MTU, PAYLOAD_BYTES, VARIANTS, Course, Measure, Record
from towline.errors import FileError
from towline.kernel.clang import find_clang
from towline.lab import leftovers, machine

LARGER_TIMES = 4
CONGESTION = "cubic"  # see lab/yardsticks/job.py
VARIANTS_SHARE = 2  # they need no more than half of the bytes each
PARTS = ("speed", "levels")
FOLDER_TIMES = 3  # the source, the pages that are warmed, the copy

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What was measured: a record for each contestant and round; `larger`: runs with LARGER_TIMES the bytes.

    `variants`: the same for each level, datapath, delivery and checksum, with the bytes divided by VARIANTS_SHARE.
    """

    conditions: dict[str, Any]
    rounds: list[dict[str, Record]]
    larger: dict[str, Record]
    variants: list[dict[str, Record]]


def bench(
    *,
    rounds: int,
    size_bytes: int,
    seed: int,
    say: Say,
    congestion: str = CONGESTION,
    parts: Collection[str] = PARTS,
) -> Bench:
    """Run it all, or some of PARTS; `say` hears what is being done. `congestion`: TCP's control algorithm.

    Raises what a run raises, and FileError where memory-backed storage has no room.
    """
    found = conditions(rounds=rounds, size_bytes=size_bytes, seed=seed, congestion=congestion)
    measured: list[dict[str, Record]] = []
    variants: list[dict[str, Record]] = []
    larger: dict[str, Record] = {}
    if "speed" in parts:
        _require_room(FOLDER_TIMES * size_bytes)
        with leftovers.temporary_folder(FOLDER_TIMES * size_bytes) as folder:
            course = Course(size_bytes=size_bytes, folder=folder, seed=seed, congestion=congestion)
            measured = _rounds(CONTESTANTS, course, rounds, say)
        larger = _larger(size_bytes=LARGER_TIMES * size_bytes, seed=seed, say=say)
    if "levels" in parts:
        with leftovers.temporary_folder(0) as folder:
            course = Course(size_bytes=size_bytes // VARIANTS_SHARE, folder=folder, seed=seed, congestion=congestion)
            variants = _rounds(VARIANTS, course, rounds, say)
    found["load_after"] = machine.baseline()
    return Bench(conditions=found, rounds=measured, larger=larger, variants=variants)


def _rounds(who: Mapping[str, Measure], course: Course, rounds: int, say: Say) -> list[dict[str, Record]]:
    """Everybody once a round, in their order."""
    measured: list[dict[str, Record]] = []
    for number in range(rounds):
        measured.append({})
        for name, measure in who.items():
            say(f"round {number + 1} of {rounds}: {name}")
            measured[-1][name] = measure(course, number)
    return measured


def conditions(*, rounds: int, size_bytes: int, seed: int, congestion: str) -> dict[str, Any]:
    """What has to be known of a measurement before one may believe it."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **machine.describe(),
        "cpus": len(os.sched_getaffinity(0)),
        "load_before": machine.baseline(),  # CPUs that were busy with something else
        "commit": _commit(),
        "version": towline.__version__,
        "python": platform.python_version(),
        "clang": find_clang().version,
        "payload_size": PAYLOAD_BYTES,
        "mtu": MTU,
        "congestion": congestion,
        "congestion_default": _congestion_default(),
        "size_bytes": size_bytes,
        "rounds": rounds,
        "seeds": [seed + number for number in range(rounds)],
    }


def _larger(*, size_bytes: int, seed: int, say: Say) -> dict[str, Record]:
    """Once more with more bytes, those from files only where there is room for them."""
    found = {}
    room = shutil.disk_usage(leftovers.MEMORY_FOLDER).free > (FOLDER_TIMES + 1) * size_bytes
    with leftovers.temporary_folder(FOLDER_TIMES * size_bytes if room else 0) as folder:
        course = Course(size_bytes=size_bytes, folder=folder, seed=seed, congestion=CONGESTION)
        for name in LARGER:
            if room or "file" not in name:
                say(f"memory, with {LARGER_TIMES} times the bytes: {name}")
                found[name] = CONTESTANTS[name](course, 0)
    return found


def _require_room(size_bytes: int) -> None:
    free_bytes = shutil.disk_usage(leftovers.MEMORY_FOLDER).free
    if free_bytes < size_bytes:
        problem = f"has {free_bytes >> 20} MiB free and needs {size_bytes >> 20}: choose a smaller --size"
        raise FileError(leftovers.MEMORY_FOLDER, problem)


def _congestion_default() -> str | None:
    """What TCP uses here where nobody asks for something else."""
    with suppress(OSError):
        return Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
    return None


def _commit() -> str | None:
    """The commit of the sources, with "+" where they differ from it; None outside a repository."""
    root = Path(__file__).parent.parent
    # As root in a clone of somebody else's, git refuses without this.
    git = ["git", "-c", f"safe.directory={root}", "-C", str(root)]
    with suppress(OSError, subprocess.CalledProcessError):
        said = [
            subprocess.run([*git, *words], capture_output=True, text=True, check=True).stdout.strip()
            for words in (("rev-parse", "--short", "HEAD"), ("status", "--porcelain"))
        ]
        return said[0] + ("+" if said[1] else "")
    return None
