# SPDX-License-Identifier: GPL-2.0-only
"""Names that carry their owner, so that what a process left behind can be told from what one still uses.

An owner is a process: its pid and the tick at which it started, in base 36, because pids are used again.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np


def owner() -> str:
    """This process as names carry it: `<pid>-<start>`."""
    return f"{os.getpid()}-{_started(os.getpid())}"


def is_gone(pid: int, start: str) -> bool:
    """Whether the process of an owner has ended, by whatever means."""
    return _started(pid) != start


def _started(pid: int) -> str | None:
    """When a process started, in ticks since boot, base 36; None where there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The command's name stands in brackets and may hold anything: count from the last one (field 22).
    return np.base_repr(int(text.rpartition(")")[2].split()[19]), 36).lower()
