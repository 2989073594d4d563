# SPDX-License-Identifier: GPL-2.0-only
"""Where to send to, as it is typed."""

from __future__ import annotations

import re
from dataclasses import dataclass

from towline.errors import SettingsError

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Target:
    """A receiver's address (6 bytes) and the interface here that reaches it."""

    address: bytes
    interface: str

    def __str__(self) -> str:
        return f"{format_address(self.address)}%{self.interface}"


def parse_target(text: str) -> Target:
    """A target from MAC%IF. Raises SettingsError."""
    address, percent, interface = text.partition("%")
    if not percent or not interface or not _MAC.fullmatch(address):
        raise SettingsError(f"{text!r} is no target: write MAC%IF, such as 02:00:00:00:00:0b%eth0")
    return Target(address=bytes.fromhex(address.replace(":", "")), interface=interface)


def format_address(address: bytes) -> str:
    """02:00:00:00:00:0b"""
    return address.hex(":")
