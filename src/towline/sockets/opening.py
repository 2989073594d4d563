# SPDX-License-Identifier: GPL-2.0-only
"""Opening sockets: buffers as large as they may be, and what went wrong in plain words."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from towline.errors import FileError, PermissionsError, SettingsError, TowlineError, UnsupportedError

BUFFER_BYTES = 8 << 20
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE, _SO_MEMINFO = 32, 33, 55  # asm-generic/socket.h; Python has no names for them
_MEMINFO = struct.Struct("9I")
_MEMINFO_DROPS = 8


@contextmanager
def told(what: str, *, interface: str | None, port: int = 0, capabilities: str = "") -> Iterator[None]:
    """Errors of opening `what` ("a packet socket") as errors of ours."""
    try:
        yield
    except OSError as error:
        raise _meaning(error, what, interface, port, capabilities) from error


def _meaning(error: OSError, what: str, interface: str | None, port: int, capabilities: str) -> TowlineError:
    number = error.errno or 0
    why = error.strerror or str(error)
    match number:
        case errno.EPERM | errno.EACCES if port and not capabilities:
            return PermissionsError(f"UDP port {port}", "CAP_NET_BIND_SERVICE (ports below 1024 have it)")
        case errno.EPERM | errno.EACCES:
            return PermissionsError(what, capabilities)
        case errno.EADDRINUSE:
            return SettingsError(f"UDP port {port} is taken: end whoever listens there, or name another with --port")
        case errno.EADDRNOTAVAIL:
            return SettingsError(f"the address for {what} is none of this machine's: see `ip address`")
        case errno.EAFNOSUPPORT | errno.EPROTONOSUPPORT:
            return UnsupportedError(what, "a kernel with that protocol switched on")
        case errno.ENODEV | errno.ENXIO:
            return FileError(interface or what, "no such interface: see `ip link`")
    return FileError(interface or what, why)


def enlarge_buffers(opened: socket.socket) -> None:
    """Buffers of 8 MiB; without privilege, what net.core.rmem_max and wmem_max allow."""
    for forced, plain in ((_SO_RCVBUFFORCE, socket.SO_RCVBUF), (_SO_SNDBUFFORCE, socket.SO_SNDBUF)):
        try:
            opened.setsockopt(socket.SOL_SOCKET, forced, BUFFER_BYTES)
        except OSError:
            with suppress(OSError):
                opened.setsockopt(socket.SOL_SOCKET, plain, BUFFER_BYTES)


def bind_to_interface(opened: socket.socket, interface: str | None) -> None:
    """Only this interface's traffic, where the kernel allows it without privilege (since Linux 5.7)."""
    if interface is not None:
        with suppress(PermissionError):
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())


def require_up(opened: socket.socket, interface: str) -> None:
    """Raises FileError where the interface that a packet socket was bound to is down."""
    if opened.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ENETDOWN:
        raise FileError(interface, f"is down: bring it up with `ip link set dev {interface} up`")


def overflowed(opened: socket.socket) -> int:
    """How many packets found this socket's buffer full since it was opened."""
    raw = opened.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
    return int(_MEMINFO.unpack(raw.ljust(_MEMINFO.size, b"\0"))[_MEMINFO_DROPS])
