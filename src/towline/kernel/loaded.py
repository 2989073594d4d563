# SPDX-License-Identifier: GPL-2.0-only
"""Which BPF programs the kernel has, whoever loaded them, and which of them a process holds."""

from __future__ import annotations

import ctypes as ct
import errno
from contextlib import suppress
from pathlib import Path

from towline.errors import PermissionsError
from towline.kernel.libbpf import library, refusal
from towline.kernel.link import program_name


def loaded_programs() -> dict[int, str]:
    """Names of all programs, by number. Raises PermissionsError."""
    found: dict[int, str] = {}
    number = ct.c_uint32(0)
    while (result := library().bpf_prog_get_next_id(number, ct.byref(number))) == 0:
        found[number.value] = program_name(number.value)
    if -result == errno.EPERM:
        raise PermissionsError("listing BPF programs", "CAP_SYS_ADMIN")
    if -result != errno.ENOENT:  # that is: there are no more
        raise refusal(result, "listing BPF programs")
    return found


def held_programs() -> set[int]:
    """Numbers of the programs that a process has open, itself or by a link."""
    found = set()
    for descriptor in Path("/proc").glob("[0-9]*/fdinfo/*"):
        with suppress(OSError):  # the process may end meanwhile
            lines = descriptor.read_text().splitlines()
            found |= {int(line.split()[1]) for line in lines if line.startswith("prog_id:")}
    return found
