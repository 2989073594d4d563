# SPDX-License-Identifier: GPL-2.0-only
"""The BPF file system: what is pinned there lives on without a process."""

from __future__ import annotations

import ctypes as ct
import os
from pathlib import Path

from towline.errors import PermissionsError, UnsupportedError
from towline.kernel.libbpf import library, refusal

USUAL = Path("/sys/fs/bpf")
OURS = "towline"
_libc = ct.CDLL(None, use_errno=True)


def folder() -> Path:
    """Our folder below a bpffs, made where it is missing (mode 0700); where no bpffs is mounted, one is.

    Raises PermissionsError.
    """
    mounted = next((Path(point) for kind, point in _mounts() if kind == "bpf"), None)
    if mounted is None:
        if _libc.mount(b"bpffs", os.fsencode(USUAL), b"bpf", 0, None):
            raise PermissionsError("mounting a bpffs", "CAP_SYS_ADMIN")
        mounted = USUAL
    found = mounted / OURS
    found.mkdir(mode=0o700, exist_ok=True)
    status = found.stat()
    if status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise UnsupportedError(f"pinning in {found}", "a folder that is ours, of mode 0700: remove what stands there")
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


def _mounts() -> list[tuple[str, str]]:
    """Kind and place of each, as this process sees them."""
    lines = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    return [(fields[2], fields[1]) for fields in lines]
