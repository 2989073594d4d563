# SPDX-License-Identifier: GPL-2.0-only
"""Which BPF programs the kernel has, whoever loaded them, and which of them no process holds."""

from __future__ import annotations

import ctypes as ct
import errno
import os
import struct
from contextlib import suppress
from pathlib import Path

from towline.errors import PermissionsError
from towline.kernel.libbpf import library, refusal

_INFO_BYTES = 128  # struct bpf_prog_info up to its name and a little more; the kernel writes as much as it is given
_NAME_OFFSET = 64
_NAME_BYTES = 16


def loaded_programs() -> dict[int, str]:
    """Names of all programs by their number. Raises PermissionsError."""
    found: dict[int, str] = {}
    number = ct.c_uint32(0)
    lib = library()
    while (result := lib.bpf_prog_get_next_id(number, ct.byref(number))) == 0:
        fd = lib.bpf_prog_get_fd_by_id(number)
        if fd < 0:  # it went meanwhile
            continue
        try:
            found[number.value] = _name(fd)
        finally:
            os.close(fd)
    if -result == errno.EPERM:
        raise PermissionsError("listing BPF programs", "CAP_SYS_ADMIN")
    if -result != errno.ENOENT:  # ENOENT: that was the last
        raise OSError(-result, str(refusal(result, "listing BPF programs").strerror))
    return found


def held_programs() -> set[int]:
    """Numbers of programs that a process has open, itself or by a link."""
    found = set()
    for descriptor in Path("/proc").glob("[0-9]*/fdinfo/*"):
        with suppress(OSError):  # the process may end meanwhile
            lines = descriptor.read_text().splitlines()
            found |= {int(line.split()[1]) for line in lines if line.startswith("prog_id:")}
    return found


def _name(fd: int) -> str:
    info, size = ct.create_string_buffer(_INFO_BYTES), ct.c_uint32(_INFO_BYTES)
    if library().bpf_obj_get_info_by_fd(fd, info, ct.byref(size)) < 0:
        return ""
    (name,) = struct.unpack_from(f"{_NAME_BYTES}s", info.raw, _NAME_OFFSET)
    return bytes(name).rstrip(b"\0").decode(errors="replace")
