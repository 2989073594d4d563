# SPDX-License-Identifier: GPL-2.0-only
"""Where to send to, as it is typed: MAC%IF, or a host."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass

from towline.errors import SettingsError
from towline.framing import DST, DST_SRC, ETHERNET, LEVELS, RAW, UDP4, UDP6, Level

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", re.IGNORECASE | re.ASCII)
_ON_LINKS = (RAW, DST, DST_SRC, ETHERNET)
_BY_FAMILY: dict[int, Level] = {socket.AF_INET6: UDP6, socket.AF_INET: UDP4}


@dataclass(frozen=True, kw_only=True)
class Target:
    """A receiver: its MAC and the interface here that reaches it, or an IP address (4 or 16 bytes)."""

    text: str
    level: Level
    mac: bytes = b""
    interface: str = ""
    address: bytes = b""
    scope: int = 0  # interface index of a link-local address

    def __str__(self) -> str:
        return self.text


def parse_target(text: str, level: str | None = None) -> Target:
    """A target from MAC%IF or a host's name or address; `level` where it was asked for.

    Raises SettingsError, also where the two do not go together.
    """
    wanted = LEVELS[level] if level else None
    mac, percent, interface = text.partition("%")
    if _MAC.fullmatch(mac):
        if not percent or not interface:
            raise SettingsError(f"{text!r} names no interface: write MAC%IF, such as {mac}%eth0")
        if wanted is not None and wanted not in _ON_LINKS:
            raise SettingsError(f"level {level} goes to hosts: write a name or an address instead of {text!r}")
        return Target(text=text, level=wanted or ETHERNET, mac=bytes.fromhex(mac.replace(":", "")), interface=interface)
    if wanted in _ON_LINKS:
        raise SettingsError(f"level {level} goes to MAC%IF, such as 02:00:00:00:00:0b%eth0, not to {text!r}")
    return _host(text, wanted)


def _host(text: str, wanted: Level | None) -> Target:
    family = wanted.family if wanted else socket.AF_UNSPEC
    try:
        found = socket.getaddrinfo(text, None, family, socket.SOCK_DGRAM)
    except (socket.gaierror, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SettingsError(
            f"{text!r} is no target ({reason}): write MAC%IF, such as 02:00:00:00:00:0b%eth0, or a host"
        ) from None
    family, _, _, _, (name, _, *more) = found[0]
    address = socket.inet_pton(family, str(name).partition("%")[0])
    scope = int(more[1]) if more else 0
    return Target(text=text, level=wanted or _BY_FAMILY[family], address=address, scope=scope)


def format_address(address: bytes) -> str:
    """02:00:00:00:00:0b, or an IP address."""
    if len(address) == 6:
        return address.hex(":")
    return socket.inet_ntop(socket.AF_INET6 if len(address) == 16 else socket.AF_INET, address)
