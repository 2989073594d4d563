# SPDX-License-Identifier: GPL-2.0-only
"""Which BPF programs the kernel has, whoever loaded them, what they are called, and which processes hold them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from towline.errors import PermissionsError
from towline.kernel.objects import open_program, program_info, program_numbers


def loaded_programs() -> dict[int, str]:
    """Names of all programs, by number. Raises PermissionsError."""
    return {number: program_name(number) for number in program_numbers()}


def program_name(number: int) -> str:
    """A loaded program's name; "?" where it is gone, or not for us to see."""
    with suppress(OSError, PermissionsError):
        fd = open_program(number)
        try:
            return bytes(program_info(fd).name).decode()
        finally:
            os.close(fd)
    return "?"


def held_programs() -> set[int]:
    """Numbers of the programs that a process has open, itself or by a link."""
    return {number for number, _ in _held()}


def processes_with(number: int) -> list[str]:
    """The processes that hold a program or a link to it (netlink does not know them)."""
    found = {}
    for held, process in _held():
        if held == number:
            with suppress(OSError):  # it ended meanwhile
                found[process.name] = f"process {process.name} {(process / 'comm').read_text().strip()}"
    return list(found.values())


def _held() -> Iterator[tuple[int, Path]]:
    """The number of each program that a process has open, and the process's folder in /proc."""
    for descriptor in Path("/proc").glob("[0-9]*/fdinfo/*"):
        with suppress(OSError):  # it was closed meanwhile, or belongs to somebody else
            for line in descriptor.read_text().splitlines():
                if line.startswith("prog_id:"):
                    yield int(line.split()[1]), descriptor.parent.parent
