# SPDX-License-Identifier: GPL-2.0-only
"""The screen: what a person sees."""

from __future__ import annotations

import msgspec
import pytest
from rich.console import Console

from towline.cli import screen
from towline.lab import record
from towline.transfer import events


def test_printable__escape_sequences_stay_text() -> None:
    assert screen.printable("a\x1b[31mb\n\u202ec") == "a\\x1b[31mb\\n\\u202ec"
    assert screen.printable("grün 文件.txt") == "grün 文件.txt"


def test_tables__unknown_is_a_dash_and_zero_is_zero() -> None:
    unknown = dict.fromkeys(record.FIELDS)
    console = Console(width=200)
    for table in (screen.demo_table(unknown, "a"), screen.runs_table([unknown])):
        with console.capture() as capture:
            console.print(table)
        assert "-" in capture.get()
        assert "NO" in capture.get()
    zero = {**unknown, "retransmissions": 0, "verified": True}
    with console.capture() as capture:
        console.print(screen.demo_table(zero, "a"))
    assert "yes" in capture.get()
    assert any(line.split() == ["│", "retransmissions", "│", "0", "│"] for line in capture.get().splitlines())


def test_screen__says_what_to_type_and_how_it_ended(capsys: pytest.CaptureFixture[str]) -> None:
    with screen.Screen(receiving=True) as show:
        show(
            events.Ready(
                interface="eth0",
                targets=("02:00:00:00:00:0b%IF", "192.0.2.2"),
                levels=("ethernet", "udp4"),
                mode="generic",
                notes=("old",),
            )
        )
        show(
            events.Started(
                name="a\x1b[2J",
                peer="p",
                file_bytes=4 << 20,
                payload_size=1400,
                lanes=1,
                level="udp4",
                transmit="udp",
                mode=None,
                notes=("n1",),
            )
        )
        show(events.Progress(done_bytes=1, total_bytes=None, seconds=0.0))
        show(events.Finished(name="a\x1b[2J", path="/in/a", record={"file_bytes": 4 << 20, "seconds": 0.5}))
        show(events.Failed(name="b", reason="the disk is full"))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "towline send FILE 02:00:00:00:00:0b%IF --insecure" in captured.err
    assert "generic XDP (old)" in captured.err
    assert "or: towline send FILE 192.0.2.2 --insecure" in captured.err
    assert "to p: level udp4, sent through a UDP socket, acknowledged through a socket (n1)" in captured.err
    assert "a\\x1b[2J -> /in/a: 4.0 MiB in 0.50 s" in captured.err
    assert "b: failed: the disk is full" in captured.err
    assert "\x1b[2J" not in captured.err


def test_print_json__one_line_an_event(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    screen.print_json(events.Failed(name="a\nb", reason="r"))
    line = capfdbinary.readouterr().out
    assert line.count(b"\n") == 1
    assert msgspec.json.decode(line) == {"event": "failed", "name": "a\nb", "reason": "r"}
