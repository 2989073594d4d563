# SPDX-License-Identifier: GPL-2.0-only
"""The BPF file system: what is pinned there lives on without a process.

It is the one that the first of our ancestors sees that we may look at: on most machines, process 1. `ip netns exec`,
for one, gives a command a /sys of its own, and a bpffs that were mounted there would end with the command.
"""

from __future__ import annotations

import os
import stat
import subprocess
from contextlib import suppress
from pathlib import Path

from towline.errors import PermissionsError, UnsupportedError
from towline.kernel.libbpf import library, refusal

USUAL = "/sys/fs/bpf"
OURS = "towline"
TRIES = 10


def folder(*below: str) -> Path:
    """Our folder below a bpffs, or one in it, made where it is missing (mode 0700); where no bpffs is mounted, one is.

    Raises PermissionsError, and UnsupportedError where something else stands there.
    """
    for _ in range(TRIES):
        with suppress(FileNotFoundError):  # a process that ends has tidied up meanwhile
            found = _ours()
            for name in below:
                found = found / name
                found.mkdir(mode=0o700, exist_ok=True)
            return found
    raise UnsupportedError(f"pinning in {OURS}", f"a folder that can be made below {USUAL}: look at what stands there")


def tidy(folder: Path) -> None:
    """Remove a folder of ours and those above it, as far as they are empty."""
    with suppress(OSError):
        while True:
            folder.rmdir()
            if folder.name == OURS:
                return
            folder = folder.parent


def existing() -> Path | None:
    """Our folder where it is there already, and ours to read; nothing is mounted or made."""
    mounted = _mounted()
    return mounted / OURS if mounted and _is_ours(mounted / OURS) else None


def _ours() -> Path:
    mounted = _mounted()
    if mounted is None:
        command = ["nsenter", f"--mount={_outermost()}/ns/mnt", "mount", "-t", "bpf", "bpffs", USUAL]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            raise PermissionsError("mounting a bpffs", "CAP_SYS_ADMIN")
        mounted = _seen(USUAL)
    found = mounted / OURS
    with suppress(FileExistsError):
        found.mkdir(mode=0o700)
    if not _is_ours(found):
        raise UnsupportedError(f"pinning in {found}", "a folder that is ours, of mode 0700: remove what stands there")
    return found


def _is_ours(folder: Path) -> bool:
    """A bpffs is often everybody's to write: what stands there may be a trap of somebody else's."""
    try:
        status = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077


def _mounted() -> Path | None:
    lines = [line.split() for line in (_outermost() / "mounts").read_text().splitlines()]
    return next((_seen(fields[1]) for fields in lines if fields[2] == "bpf"), None)


def _seen(point: str) -> Path:
    """The first process's path as this one has to call it."""
    return _outermost() / "root" / point.lstrip("/")


def _outermost() -> Path:
    """The folder in /proc of our farthest ancestor whose files we may see."""
    found, pid = Path("/proc/self"), os.getpid()
    while pid:
        folder = Path(f"/proc/{pid}")
        with suppress(PermissionError):
            (folder / "root" / "proc").stat()
            found = folder
        # The command's name stands in brackets and may hold anything: count from the last one (field 4).
        pid = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    return found


def pin(fd: int, path: Path) -> None:
    """Keep a program, map or link under a name; FileExistsError where there is one."""
    if (result := library().bpf_obj_pin(fd, os.fsencode(path))) < 0:
        raise refusal(result, f"pinning {path}")


def open_pinned(path: Path) -> int:
    """A descriptor of what is pinned there, to be closed; FileNotFoundError."""
    fd: int = library().bpf_obj_get(os.fsencode(path))
    if fd < 0:
        raise refusal(fd, f"opening {path}")
    return fd
