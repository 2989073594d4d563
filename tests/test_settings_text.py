# SPDX-License-Identifier: GPL-2.0-only
"""Settings as people write them: sizes, flags of programs, datapaths."""

from __future__ import annotations

import pytest

from towline.errors import SettingsError
from towline.settings import Settings
from towline.settings_text import parse_clang_flags, parse_datapath, parse_setting


def test_parse_clang_flags__by_program() -> None:
    flags = parse_clang_flags(["sender=-O3 -mcpu=v2", "receiver='-DA=b c'"])
    assert flags == {"clang_flags_sender": ("-O3", "-mcpu=v2"), "clang_flags_receiver": ("-DA=b c",)}
    assert Settings(**flags).record_fields()["clang_flags_sender"] == "-O3 -mcpu=v2"  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["-O3", "driver=-O3", "sender='-O3", ""])
def test_parse_clang_flags__refuses_the_rest(text: str) -> None:
    with pytest.raises(SettingsError):
        parse_clang_flags([text])


def test_parse_datapath__one_word_holds_for_both() -> None:
    assert parse_datapath("socket") == {"datapath_sender": "socket", "datapath_receiver": "socket"}
    assert parse_datapath("ebpf:socket") == {"datapath_sender": "ebpf", "datapath_receiver": "socket"}


@pytest.mark.parametrize("text", ["", "xdp", "ebpf:", ":ebpf", "ebpf:socket:ebpf"])
def test_parse_datapath__refuses_the_rest(text: str) -> None:
    with pytest.raises(SettingsError, match=r"SENDER\[:RECEIVER\]"):
        parse_datapath(text)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("ring_size", "64K", 65536),
        ("ethertype", "0x1501", 0x1501),
        ("pace", "none", None),
        ("checksum", "on", True),
        ("checksum", "False", False),
        ("delivery", "ring", "ring"),
        ("loss", "backward=5%", (0.0, 0.05)),
        ("delay", "10ms", (10_000, 10_000)),
        ("clang_flags_sender", "-O3 '-D A'", ("-O3", "-D A")),
    ],
)
def test_parse_setting__as_people_write_it(name: str, text: str, value: object) -> None:
    assert parse_setting(name, text) == value


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("ring_size", "5000", "a power of two from 4K"),
        ("delivery", "pigeon", "it must be direct or ring"),
        ("ack_every", "none", "not a whole number"),
        ("checksum", "perhaps", "neither on nor off"),
        ("clang_flags_sender", "'-O3", "No closing quotation"),
    ],
)
def test_parse_setting__refuses_what_is_not_legal(name: str, text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        parse_setting(name, text)
