# SPDX-License-Identifier: GPL-2.0-only
"""`towline top`: a row for each side of each session, rates from the second look on, and swaps pointed out."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.cli.conftest import Typed
from tests.long_transfer import LongTransfer
from towline.bpf import policy_source
from towline.cli.curve import LEVELS, SWAP
from towline.parameter import ROLES, Role
from towline.running import places as places_module
from towline.running.swap import Swapper

COMES_S = 30.0
SIGINT_CODE = 128 + signal.SIGINT
Row = dict[str, Any]


class Top:
    """`towline top --json` in a process of its own, and its rows."""

    def __init__(self, running: LongTransfer) -> None:
        self._running = running
        command = [sys.executable, "-m", "towline", "top", "--every", "0.1", "--json"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def until(self, role: Role, condition: Callable[[Row], bool]) -> Row:
        """The next row of a side of our transfer that is so."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + COMES_S
        row: Row = {}
        for line in self.process.stdout:  # a row comes every tenth of a second as long as the transfer runs
            row = json.loads(line)
            if (row["interface"], row["role"]) == (self._running.name(role), role) and condition(row):
                return row
            if time.monotonic() > deadline:
                break
        raise AssertionError(f"it never came: {row}")

    def end(self) -> tuple[int, str]:
        """Ctrl-C: its exit code, and what it said."""
        self.process.send_signal(signal.SIGINT)
        _, said = self.process.communicate(timeout=COMES_S)
        return self.process.returncode, said


@contextmanager
def watched(running: LongTransfer) -> Iterator[Top]:
    """Gone when the block is left, and without complaint."""
    top = Top(running)
    try:
        yield top
        assert top.end() == (SIGINT_CODE, "")
    finally:
        top.process.kill()
        top.process.communicate()


def swapped(running: LongTransfer, policy: str) -> int:
    """The version that the receiver's program has from now on."""
    with Swapper(running.place("receiver")) as swapper:
        return swapper.swap(policy_source(policy)).version


class Looks:
    """In the place of time.sleep between the looks of a `top` in this process: does something, or presses Ctrl-C."""

    def __init__(self, *between: Callable[[], object]) -> None:
        self._between = list(between)

    def __call__(self, seconds: float) -> None:
        if not self._between:
            raise KeyboardInterrupt
        self._between.pop(0)()


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Say what happens between the looks; after the last, Ctrl-C."""
    monkeypatch.setenv("COLUMNS", "80")

    def between(*what: Callable[[], object]) -> None:
        # The command's own view of the module: who waits for something else goes on to sleep.
        monkeypatch.setattr("towline.cli.top.time", _Time(Looks(*what)))

    return between


class _Time:
    """The module, as far as `top` uses it."""

    def __init__(self, sleep: Looks) -> None:
        self.sleep = sleep
        self.monotonic = time.monotonic


def line(shown: str, start: str) -> str:
    """The last line that begins so."""
    return [line.rstrip() for line in shown.splitlines() if line.startswith(start)][-1]


def test_top__rows_for_both_sides(running: LongTransfer) -> None:
    with watched(running) as top:
        receiving = top.until("receiver", lambda row: bool(row["gbps"] and row["packets_per_ack"]))
        sending = top.until("sender", lambda row: bool(row["gbps"] and row["rtt_us"]))
    assert receiving["number"] == sending["number"]
    assert sending["retransmissions"] is not None
    assert sending["again_share"] is not None
    assert sending["loss_share"] is not None
    for name in ("rtt_us", "retransmissions", "again_share", "loss_share"):  # the sender's to know
        assert receiving[name] is None
    for row in (receiving, sending):
        assert 0 < row["gbps"] < 10  # of 0.2 that it is allowed
        assert row["packets"] > 0
        assert 0 <= row["outstanding"] <= row["window"]
        assert row["swapped_seconds_ago"] is None


def test_top__the_first_look_has_no_rate(running: LongTransfer, typed: Typed, look: Callable[..., None]) -> None:
    look()
    rows = [json.loads(line) for line in typed("top", "--json", code=SIGINT_CODE).splitlines()]
    own = [row for row in rows if row["interface"] in map(running.name, ROLES)]
    assert [row["role"] for row in own] == ["sender", "receiver"]
    assert [(row["gbps"], row["packets_per_ack"], row["again_share"]) for row in own] == [(None, None, None)] * 2


def test_top__a_swap_is_pointed_out_where_it_was(running: LongTransfer) -> None:
    with watched(running) as top:
        before = top.until("receiver", lambda row: True)
        started = time.monotonic()
        version = swapped(running, "every")
        seen = top.until("receiver", lambda row: row["version"] != before["version"])
        assert seen["version"] == version
        assert 0 <= seen["swapped_seconds_ago"] <= time.monotonic() - started
        later = top.until("receiver", lambda row: row["swapped_seconds_ago"] > seen["swapped_seconds_ago"])
        assert later["version"] == version
        top.until("receiver", lambda row: row["served_by"] == version)
        assert top.until("sender", lambda row: True)["swapped_seconds_ago"] is None


def test_top__in_a_table(running: LongTransfer, typed: Typed, look: Callable[..., None]) -> None:
    version = 0

    def swap() -> None:
        nonlocal version
        version = swapped(running, "timed")

    look(swap)
    shown = typed("top", code=SIGINT_CODE)
    receiving, sending = (line(shown, running.name(role)).split() for role in ("receiver", "sender"))
    assert receiving[1] == "receiver"
    assert sending[1] == "sender"
    assert receiving[3:6] == ["-", "-", "-"]  # round trip, losses, what was sent again: the sender's to know
    assert "-" not in sending[2:6]
    assert receiving[8] == sending[8] == "-"  # delivery direct has no ring
    assert max(map(len, shown.splitlines())) <= 80
    number = running_number(typed, running)
    told = line(shown, f"receiver {number:x} version {version}, timed.bpf.c swapped 0 s ago")
    assert told.endswith(f"{SWAP}{LEVELS[-1]}")
    assert line(shown, f"sender {number:x} version 1, sender.bpf.c ").endswith(f" {LEVELS[-1]}")


def running_number(typed: Typed, running: LongTransfer) -> int:
    """Of the session."""
    return int(typed.json("kernel", "show", running.name("receiver"))["sessions"][0]["number"])


def test_top__where_nothing_runs(typed: Typed, look: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places_module, "xdp_links", list)  # others on this machine may have a transfer running
    look(list)
    assert "no session runs here; Ctrl-C ends this" in typed("top", code=SIGINT_CODE)
    look(list)
    assert typed("top", "--json", code=SIGINT_CODE) == ""


@pytest.mark.parametrize("every", ["0", "0.09", "61", "-1", "nan"])
def test_top__looks_neither_too_often_nor_too_seldom(typed: Typed, every: str) -> None:
    assert "must be from 0.1 to 60 seconds" in typed.refused("top", f"--every={every}", code=2)
