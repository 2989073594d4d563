# SPDX-License-Identifier: GPL-2.0-only
"""What tests of the command line share: a transfer to look at, and commands that are typed in this process."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.long_transfer import LongTransfer, long_transfer
from towline.cli import main as program

COMES_S = 30.0


@pytest.fixture(scope="module")
def running() -> Iterator[LongTransfer]:
    """One transfer for all tests of a file: what version of which program runs is whatever the last one left."""
    with long_transfer() as made:
        yield made


class Typed:
    """`towline ...` in this process."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self._capfd = capfd

    def __call__(self, *arguments: str, code: int = 0) -> str:
        """What it printed; nothing was said."""
        out, said = self._run(arguments, code)
        assert said == ""
        return out

    def json(self, *arguments: str) -> Any:
        """What it printed with --json, which is nothing but JSON."""
        return json.loads(self(*arguments, "--json"))

    def refused(self, *arguments: str, code: int) -> str:
        """The one line that it said; nothing was printed."""
        out, said = self._run(arguments, code)
        assert out == ""
        assert said.startswith("towline: ")
        assert said.count("\n") == 1
        return said

    def _run(self, arguments: tuple[str, ...], code: int) -> tuple[str, str]:
        self._capfd.readouterr()
        got = program.main(arguments)
        out, said = self._capfd.readouterr()
        assert got == code, said
        return out, said


@pytest.fixture
def typed(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Typed]:
    """The program takes signals over; the test runner wants them back."""
    monkeypatch.delenv("TOWLINE_DEBUG", raising=False)
    before = {number: signal.getsignal(number) for number in program.SIGNALS}
    yield Typed(capfd)
    for number, handler in before.items():
        signal.signal(number, handler)


def moves(typed: Typed, place: str) -> bool:
    """Whether packets arrive within COMES_S."""
    deadline, first = time.monotonic() + COMES_S, None
    while time.monotonic() < deadline:
        [session] = typed.json("kernel", "show", place)["sessions"]
        first = session["packets"] if first is None else first
        if session["packets"] > first:
            return True
    return False
