# SPDX-License-Identifier: GPL-2.0-only
"""`towline kernel watch`: what it prints, for people and for programs, of a transfer that runs."""

from __future__ import annotations

import json
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.conftest import COMES_S, Typed, moves
from tests.long_transfer import LongTransfer
from towline.bpf import policy_source
from towline.cli import watch as watch_module
from towline.running.places import Place
from towline.running.swap import Swapper

# As `towline`, but for a shorter look at the rate before and after.
WATCH = """
import sys
from towline.cli import watch
from towline.cli.main import main
watch.LISTEN_S = 0.2
sys.exit(main())
"""


class Watching:
    """`towline kernel watch` in a process of its own: its lines as they come."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-c", WATCH, "kernel", "watch", *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def line(self) -> str:
        """The next one."""
        return self._lines.get(timeout=COMES_S)

    def interrupt(self) -> tuple[int, str]:
        """Ctrl-C: its exit code, and what it said."""
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(COMES_S)
        assert self.process.stderr is not None
        return code, self.process.stderr.read()

    def end(self) -> None:
        """Make sure that it is gone."""
        self.process.kill()
        self.process.wait()
        self._thread.join()
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)


@contextmanager
def watching(*arguments: str) -> Iterator[Watching]:
    """Gone when the block is left."""
    started = Watching(*arguments)
    try:
        yield started
    finally:
        started.end()


def save(file: Path, text: str) -> None:
    """As editors do: it is the old one or the new one, never half of it."""
    (file.parent / "saved").write_text(text)
    (file.parent / "saved").replace(file)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A policy that one may edit."""
    return Path(shutil.copy(policy_source("every"), tmp_path / "mine.bpf.c"))


def test_watch__swaps_what_is_saved_and_only_what_compiles(running: LongTransfer, typed: Typed, source: Path) -> None:
    place, good = running.name("receiver"), source.read_text()
    with watching(place, "receiver", str(source), "--json") as watch:
        first = json.loads(watch.line())  # what stands in the file when one begins
        save(source, good + "/* saved */\n")
        second = json.loads(watch.line())
        assert (second["before"], second["version"]) == (first["version"], first["version"] + 1)
        assert running.place("receiver").program == second["program"] != first["program"]

        save(source, good + "static int unfinished(void) {\n")
        refused = json.loads(watch.line())
        assert set(refused) == {"error"}
        assert refused["error"].startswith("clang refused a program: ")
        assert str(source) in refused["error"]
        assert running.place("receiver").program == second["program"]
        assert moves(typed, place)

        save(source, good)
        third = json.loads(watch.line())
        assert (third["before"], third["version"]) == (second["version"], second["version"] + 1)
        assert running.place("receiver").program == third["program"]
        for swapped in (first, second, third):
            assert swapped["effect_s"] is not None
            assert swapped["gbps_before"] > 0
            assert swapped["gbps_after"] > 0
        assert watch.interrupt() == (130, "")
    assert running.place("receiver").program == third["program"]  # what is in place stays
    assert moves(typed, place)


def test_watch__in_words(running: LongTransfer, typed: Typed, source: Path) -> None:
    place, good = running.name("receiver"), source.read_text()
    with watching(place, "receiver", str(source)) as watch:
        assert watch.line() == f"watching {source}: save it, and it runs on {place}; Ctrl-C ends this\n"
        told = [watch.line() for _ in range(3)]
        assert re.search(r"  \d+\.\d\d Gbit/s before, \d+\.\d\d after\n", told[2])
        shown = typed.json("kernel", "show", place)
        assert told[0].startswith(f"{place}: version {shown['version']} (program {shown['program']}) instead of")
        assert "put in place in" in told[1]
        save(source, good + "static int unfinished(void) {\n")
        assert watch.line().startswith("nothing was changed: clang refused a program: ")
        assert watch.interrupt() == (130, "")
    assert running.place("receiver").program == shown["program"]


def nothing() -> None:
    """Another turn."""


class Turns:
    """The module time as `watch` uses it: does one thing for each turn of its loop, then presses Ctrl-C."""

    def __init__(self, *turns: Callable[[], object]) -> None:
        self._turns = list(turns)

    def sleep(self, seconds: float) -> None:
        assert seconds == watch_module.WATCH_S
        if not self._turns:
            raise KeyboardInterrupt
        self._turns.pop(0)()


def test_watch__tells_when_something_else_is_put_in_place(
    running: LongTransfer, typed: Typed, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = running.name("receiver")

    def taken_back() -> None:
        with Swapper(running.place("receiver")) as swapper:
            swapper.rollback()

    monkeypatch.setattr(watch_module, "LISTEN_S", 0.0)
    for how in ((), ("--json",)):
        monkeypatch.setattr(watch_module, "time", Turns(taken_back, nothing))
        told = typed("kernel", "watch", place, "receiver", str(source), *how, code=130).splitlines()
        now = typed.json("kernel", "show", place)["version"]
        if how:
            [said] = map(json.loads, told)
            assert said == {"version": now, "instead_of": said["instead_of"]}
            assert said["instead_of"] != now
        else:
            assert told[-1].startswith(f"version {now} runs instead of version ")


@pytest.mark.parametrize("how", [(), ("--json",)], ids=["words", "json"])
def test_watch__ends_with_the_program(
    running: LongTransfer, typed: Typed, source: Path, monkeypatch: pytest.MonkeyPatch, how: tuple[str, ...]
) -> None:
    place = running.name("receiver")
    monkeypatch.setattr(watch_module, "time", Turns(lambda: monkeypatch.setattr(Place, "is_there", lambda _: False)))
    told = typed("kernel", "watch", place, "receiver", str(source), *how).splitlines()
    assert told[1:] == ([] if how else [f"the program on {place} has ended, and with it this"])
    assert bool(told) != bool(how)
