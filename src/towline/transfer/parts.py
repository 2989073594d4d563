# SPDX-License-Identifier: GPL-2.0-only
"""Partial files: their names, which say whose they are, and the end of those with which nobody will go on.

One goes with its process; or it is kept for the next process, as long as the machine runs.
"""

from __future__ import annotations

import os
import platform
import re
import secrets
from contextlib import suppress
from pathlib import Path

import xxhash

from towline.owner import is_gone, owner

_PART = re.compile(r"\..*\.towline-([0-9a-f]+)-(\d+)-([0-9a-z]+)-[0-9a-f]+\.part", re.ASCII | re.DOTALL)
_KEPT = re.compile(r"\.towline-kept-([0-9a-f]+)-([0-9a-f]+)-[0-9a-f]+\.part", re.ASCII)
_NAME_MOST = 40  # characters of the file's own name
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def own_part(name: str) -> str:
    """A new name for the partial file of a file, while this process lives."""
    return f".{name[:_NAME_MOST]}.towline-{_machine()}-{owner()}-{secrets.token_hex(4)}.part"


def kept_part() -> str:
    """A new name for a partial file that outlives its process."""
    return f".towline-kept-{_machine()}-{_boot()}-{secrets.token_hex(8)}.part"


def is_kept(part: str) -> bool:
    """Whether `kept_part` may have made that name."""
    return _KEPT.fullmatch(part) is not None


def remove_kept(folder: Path, part: str) -> None:
    """Remove a partial file that was kept, if there is one of that name, and it is one by its name."""
    if is_kept(part):
        with suppress(OSError):
            (folder / part).unlink()


def sweep(folder_fd: int) -> None:
    """Remove what receivers of this machine have left in a folder that were killed."""
    for name in os.listdir(folder_fd):
        if _is_left(name):
            with suppress(OSError):
                os.unlink(name, dir_fd=folder_fd)


def _is_left(name: str) -> bool:
    """Whether it is a partial file of this machine with which nobody will go on."""
    if match := _PART.fullmatch(name):
        return match[1] == _machine() and is_gone(int(match[2]), match[3])
    match = _KEPT.fullmatch(name)
    return match is not None and match[1] == _machine() and match[2] != _boot()


def _machine() -> str:
    """Tells this machine's owners from others', where a folder is shared over a network."""
    return xxhash.xxh32_hexdigest(platform.node().encode())


def _boot() -> str:
    """Tells this run of the machine from others: what is pinned ends with it."""
    return _BOOT_ID.read_text()[:8]
