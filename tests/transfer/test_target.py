# SPDX-License-Identifier: GPL-2.0-only
"""Targets: what people type, and what does not go together."""

from __future__ import annotations

import socket

import pytest

from towline.errors import SettingsError
from towline.framing import LEVELS
from towline.transfer.target import format_address, parse_target

MAC = "02:00:00:00:00:0b"


@pytest.mark.parametrize("level", ["raw", "dst", "dst-src", "ethernet"])
def test_parse_target__a_mac_and_an_interface(level: str) -> None:
    target = parse_target(f"{MAC}%eth0", level)
    assert (target.mac, target.interface, target.level.name) == (bytes.fromhex("02000000000b"), "eth0", level)
    assert parse_target(f"{MAC}%eth0").level.name == "ethernet"


@pytest.mark.parametrize(
    ("text", "level", "chosen"),
    [
        ("192.0.2.7", None, "udp4"),
        ("2001:db8::7", None, "udp6"),
        ("2001:db8::7", "ipv6", "ipv6"),
        ("2001:db8::7", "udp6", "udp6"),
        ("192.0.2.7", "udp4", "udp4"),
    ],
)
def test_parse_target__a_host(text: str, level: str | None, chosen: str) -> None:
    target = parse_target(text, level)
    assert target.level is LEVELS[chosen]
    assert target.address == socket.inet_pton(target.level.family, text)
    assert str(target) == text


def test_parse_target__a_link_local_address_has_a_scope() -> None:
    assert parse_target("fe80::1%lo").scope == socket.if_nametoindex("lo")


@pytest.mark.parametrize(
    ("text", "level", "said"),
    [
        (MAC, None, "names no interface"),
        (f"{MAC}%", None, "names no interface"),
        (f"{MAC}%eth0", "udp6", "level udp6 goes to hosts"),
        ("192.0.2.7", "raw", "level raw goes to MAC%IF"),
        ("192.0.2.7", "udp6", "is no target"),
        ("2001:db8::7", "udp4", "is no target"),
        ("no such host", None, "is no target"),
    ],
)
def test_parse_target__what_does_not_go_together(text: str, level: str | None, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        parse_target(text, level)


def test_format_address__by_length() -> None:
    assert format_address(bytes.fromhex("02000000000b")) == MAC
    assert format_address(bytes([192, 0, 2, 1])) == "192.0.2.1"
    assert format_address(socket.inet_pton(socket.AF_INET6, "2001:db8::1")) == "2001:db8::1"
