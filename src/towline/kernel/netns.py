# SPDX-License-Identifier: GPL-2.0-only
"""Network namespaces: into one and back, by the thread that asks; one of our own that nobody sees."""

from __future__ import annotations

import ctypes as ct
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from towline.errors import PermissionsError

CLONE_NEWNET = 0x40000000
NAMED = Path("/run/netns")
_OURS = "/proc/thread-self/ns/net"
_libc = ct.CDLL(None, use_errno=True)


def found() -> dict[str, Path]:
    """Every network namespace that can be found, by its name; one without a name is called after a process in it
    ("pid:1234"), and that of this process is "".
    """
    spaces: dict[int, tuple[str, Path]] = {Path(_OURS).stat().st_ino: ("", Path(_OURS))}
    for path in sorted(NAMED.iterdir()) if NAMED.is_dir() else []:
        _note(spaces, path.name, path)
    for path in sorted(Path("/proc").glob("[0-9]*/ns/net")):
        _note(spaces, f"pid:{path.parts[2]}", path)
    return dict(spaces.values())


def _note(spaces: dict[int, tuple[str, Path]], name: str, path: Path) -> None:
    try:
        spaces.setdefault(path.stat().st_ino, (name, path))
    except OSError:  # it ended meanwhile, or is somebody else's
        return


@contextmanager
def inside(which: str | Path) -> Iterator[None]:
    """This thread in another network namespace, by its name or a whole path. Raises PermissionsError,
    FileNotFoundError where it is gone.
    """
    home = os.open(_OURS, os.O_RDONLY | os.O_CLOEXEC)
    try:
        there = os.open(NAMED / which, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _enter(there)
        finally:
            os.close(there)
        try:
            yield
        finally:
            _enter(home)
    finally:
        os.close(home)


def unseen() -> int:
    """A descriptor of a new network namespace that has no name and ends with its last descriptor."""
    home = os.open(_OURS, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.unshare(CLONE_NEWNET):
            raise PermissionsError("making a network namespace", "CAP_SYS_ADMIN")
        try:
            return os.open(_OURS, os.O_RDONLY | os.O_CLOEXEC)
        finally:
            _enter(home)
    finally:
        os.close(home)


def _enter(fd: int) -> None:
    if _libc.setns(fd, CLONE_NEWNET):
        if (number := ct.get_errno()) == errno.EPERM:
            raise PermissionsError("entering a network namespace", "CAP_SYS_ADMIN")
        raise OSError(number, f"entering a network namespace: {os.strerror(number)}")
