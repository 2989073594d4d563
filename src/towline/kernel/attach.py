# SPDX-License-Identifier: GPL-2.0-only
"""Hang a program on an interface's XDP hook by a link that dies with the process."""

from __future__ import annotations

import ctypes as ct
import errno
import os
import socket
from contextlib import suppress
from types import TracebackType
from typing import Literal, Self

from towline.errors import EndedError, LoadError, PermissionsError, UnsupportedError
from towline.kernel import predecessors
from towline.kernel.libbpf import (
    BPF_F_REPLACE,
    BPF_XDP,
    XDP_FLAGS_DRV_MODE,
    XDP_FLAGS_SKB_MODE,
    LinkCreateOptions,
    LinkUpdateOptions,
    library,
    refusal,
)
from towline.kernel.link import Holder, name_of, xdp_holder
from towline.kernel.objects import link_info, program_info, xdp_links
from towline.settings import XdpMode

__all__ = ["Link", "Mode", "attach", "replace_program"]

Mode = Literal["auto", "native", "generic"]

# What each refusal of a driver (its ndo_bpf) means; veth's are in drivers/net/veth.c, veth_xdp_set().
_NATIVE_NEEDS = {
    errno.EOPNOTSUPP: "a driver that supports it (or a smaller MTU: some drivers say it this way)",
    errno.ERANGE: "a smaller MTU (of a veth's other end: at most 3506 bytes)",
    errno.ENOSPC: "as many receive queues as its other end has transmit queues",
    errno.ENOTCONN: "a veth whose other end exists",
    errno.EINVAL: "other settings of the driver (an MTU that fits a page, LRO off, enough queues)",
    errno.ENOMEM: "more memory for the driver's queues",
}


class Link:
    """A program on an interface; `mode` is how it runs, `why_not_native` the reason where that is generic."""

    def __init__(self, fd: int, *, ifindex: int, mode: XdpMode, why_not_native: str | None) -> None:
        self.fd, self.ifindex, self.mode, self.why_not_native = fd, ifindex, mode, why_not_native

    def replace(self, program_fd: int, instead_of: int | None = None) -> bool:
        """Put another program in place; no packet meets an empty hook. `instead_of`: as replace_program has it.

        Takes milliseconds (an RCU wait) unless both programs are attached to some interface as well.
        """
        return replace_program(self.fd, program_fd, instead_of)

    def close(self) -> None:
        """Take the program off the interface."""
        if self.fd >= 0:
            number = link_info(self.fd).id
            library().bpf_link_detach(self.fd)  # a forked child may hold the descriptor too
            os.close(self.fd)
            self.fd = -1
            predecessors.forget(number)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def replace_program(link_fd: int, program_fd: int, instead_of: int | None = None) -> bool:
    """What Link.replace does, of a link that somebody else has made.

    `instead_of`: the only program that may be replaced; False: another one is in place, and stays.
    """
    options = LinkUpdateOptions(sz=ct.sizeof(LinkUpdateOptions))
    if instead_of is not None:
        options.flags, options.old_prog_fd = BPF_F_REPLACE, instead_of
    result = library().bpf_link_update(link_fd, program_fd, ct.byref(options))
    if result >= 0:
        return True
    if -result == errno.EPERM:
        # The kernel says the same of a program that is another one: bpf_xdp_link_update() of net/core/dev.c.
        if instead_of is not None and link_info(link_fd).prog_id != program_info(instead_of).id:
            return False
        raise PermissionsError("replacing an XDP program")
    if -result == errno.ENOLINK:
        raise EndedError("the transfer whose program that was")
    raise LoadError(str(refusal(result, "replacing the XDP program").strerror))


def attach(program_fd: int, ifindex: int, mode: Mode = "auto") -> Link:
    """Attach an XDP program to an interface of this thread's network namespace.

    "auto" tries native first and takes generic where the driver refuses; `why_not_native` then says why.
    Raises UnsupportedError where native was demanded and refused, or where something else holds the hook
    (it is named); PermissionsError; LoadError for what nobody foresaw.
    """
    predecessors.forget_ended()  # what was killed since the last time: its memory would stay
    needs = None
    try:
        socket.if_indextoname(ifindex)  # link_create would say "Invalid argument"
    except OSError:
        raise LoadError(f"there is no interface {ifindex} in this network namespace") from None
    if mode != "generic":
        fd = _create(program_fd, ifindex, XDP_FLAGS_DRV_MODE)
        if fd >= 0:
            return Link(fd, ifindex=ifindex, mode="native", why_not_native=None)
        needs = _NATIVE_NEEDS.get(-fd)
        if needs is None:
            raise _error(fd, ifindex)
        if mode == "native":
            raise UnsupportedError(f"native XDP on {name_of(ifindex)}", needs)
    fd = _create(program_fd, ifindex, XDP_FLAGS_SKB_MODE)
    if fd < 0:
        raise _error(fd, ifindex)
    why = f"native XDP on {name_of(ifindex)} needs {needs}" if needs else "generic was asked for"
    return Link(fd, ifindex=ifindex, mode="generic", why_not_native=why)


def _create(program_fd: int, ifindex: int, flags: int) -> int:
    options = LinkCreateOptions(sz=ct.sizeof(LinkCreateOptions), flags=flags)
    result: int = library().bpf_link_create(program_fd, ifindex, BPF_XDP, ct.byref(options))
    return result


def _error(result: int, ifindex: int) -> Exception:
    """What to say of a refusal that has nothing to do with native or generic."""
    name = name_of(ifindex)
    if -result in (errno.EBUSY, errno.EEXIST):
        holder = xdp_holder(ifindex)
        what = f"the interface's XDP hook, which {holder or 'another program'} holds; {_how_to_free(holder, name)}"
        return UnsupportedError(f"XDP on {name}", what)
    if -result == errno.EPERM:
        return PermissionsError(f"attaching an XDP program to {name}")
    return LoadError(str(refusal(result, f"attaching to {name}").strerror))


def _how_to_free(holder: Holder | None, name: str) -> str:
    if holder is None or holder.processes:
        return "end that process"
    with suppress(PermissionsError):
        if not any(link.program == holder.program for link in xdp_links()):
            return f"detach it with `ip link set dev {name} xdp off`"
    return "it is pinned: `towline kernel clean` removes what a killed receiver has left"
