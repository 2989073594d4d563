# SPDX-License-Identifier: GPL-2.0-only
"""What the kernel holds, by number: programs, maps and XDP links, whoever made them."""

from __future__ import annotations

import ctypes as ct
import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from towline.errors import PermissionsError
from towline.kernel.libbpf import LinkInfo, LinkKind, MapInfo, ProgramInfo, library, refusal
from towline.kernel.memory import Map

MAPS_MOST = 64  # of one program


@dataclass(frozen=True, kw_only=True)
class XdpLink:
    """A link that holds an XDP hook: of interface `ifindex`, in whatever network namespace (0: it is gone)."""

    number: int
    program: int
    ifindex: int


def xdp_links() -> list[XdpLink]:
    """All XDP links of this machine. Raises PermissionsError."""
    found = []
    for number in _numbers(library().bpf_link_get_next_id, "links"):
        try:
            fd = open_link(number)
        except FileNotFoundError:  # it went meanwhile
            continue
        try:
            info = link_info(fd)
        finally:
            os.close(fd)
        if info.type == LinkKind.XDP:
            found.append(XdpLink(number=number, program=info.prog_id, ifindex=info.xdp_ifindex))
    return found


def program_numbers() -> Iterator[int]:
    """Of all programs of this machine. Raises PermissionsError."""
    return _numbers(library().bpf_prog_get_next_id, "programs")


def open_program(number: int) -> int:
    """A descriptor of a program, to be closed. Raises FileNotFoundError where it is gone, PermissionsError."""
    return _opened(library().bpf_prog_get_fd_by_id(number), f"opening program {number}")


def open_link(number: int) -> int:
    """A descriptor of a link, to be closed. Raises FileNotFoundError where it is gone, PermissionsError."""
    return _opened(library().bpf_link_get_fd_by_id(number), f"opening link {number}")


def open_map(number: int) -> Map:
    """A map, to be closed. Raises FileNotFoundError where it is gone, PermissionsError."""
    return describe_map(_opened(library().bpf_map_get_fd_by_id(number), f"opening map {number}"))


def describe_map(fd: int) -> Map:
    """A map by its descriptor, which becomes the map's own."""
    info = MapInfo()
    _ask(fd, info)
    return Map(
        fd,
        info.name.decode(),
        kind=info.type,
        key_size=info.key_size,
        value_size=info.value_size,
        max_entries=info.max_entries,
    )


def program_info(fd: int) -> ProgramInfo:
    """BPF_OBJ_GET_INFO_BY_FD of a program."""
    info = ProgramInfo()
    _ask(fd, info)
    return info


def link_info(fd: int) -> LinkInfo:
    """BPF_OBJ_GET_INFO_BY_FD of a link."""
    info = LinkInfo()
    _ask(fd, info)
    return info


def maps_of(program_fd: int) -> list[Map]:
    """The maps that a program uses, to be closed."""
    numbers = (ct.c_uint32 * MAPS_MOST)()
    info = ProgramInfo(nr_map_ids=MAPS_MOST, map_ids=ct.addressof(numbers))
    _ask(program_fd, info)
    return [open_map(number) for number in numbers[: info.nr_map_ids]]


def _numbers(following: Callable[..., int], what: str) -> Iterator[int]:
    number = ct.c_uint32(0)
    while (result := following(number, ct.byref(number))) == 0:
        yield number.value
    if -result == errno.EPERM:
        raise PermissionsError(f"listing BPF {what}", "CAP_SYS_ADMIN")
    if -result != errno.ENOENT:  # that is: there are no more
        raise refusal(result, f"listing BPF {what}")


def _opened(fd: int, what: str) -> int:
    if fd >= 0:
        return fd
    if -fd == errno.EPERM:
        raise PermissionsError(what, "CAP_SYS_ADMIN")
    raise refusal(fd, what)


def _ask(fd: int, info: ct.Structure) -> None:
    size = ct.c_uint32(ct.sizeof(info))
    if (result := library().bpf_obj_get_info_by_fd(fd, ct.byref(info), ct.byref(size))) < 0:
        raise refusal(result, "asking the kernel about one of its objects")
