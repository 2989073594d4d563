# SPDX-License-Identifier: GPL-2.0-only
"""The two processes of a run: `towline receive` and `towline send`, which die with their parent."""

from __future__ import annotations

import os
import selectors
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

import msgspec

from towline import settings as parameters
from towline.errors import RunError
from towline.parameter import Side
from towline.quantities import format_directions, unit
from towline.settings import Settings
from towline.transfer.events import AnyEvent

Note = Callable[["Child", AnyEvent], None]

_DECODER = msgspec.json.Decoder(AnyEvent)
_CLEANING_UP_S = 5.0


class Child:
    """One running command: its events, its complaint on stderr, its end."""

    def __init__(self, side: str, command: list[str]) -> None:
        self.side = side
        self.complaint = b""
        self.rest = b""
        self.ended_at: float | None = None
        # setpriv: the child gets SIGTERM when we die, whatever kills us. A process group of its own:
        # Ctrl-C in the terminal reaches us alone, and we end the children in order.
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            process_group=0,
        )

    @property
    def pipes(self) -> list[IO[bytes]]:
        """What the child writes to."""
        return [pipe for pipe in (self.process.stdout, self.process.stderr) if pipe is not None]

    @property
    def ended(self) -> bool:
        """Whether the child has ended and all that it said was heard."""
        return self.ended_at is not None

    def feed(self, data: bytes) -> Iterator[AnyEvent]:
        """Events in what the child has just written."""
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            yield _DECODER.decode(line)

    def error(self) -> RunError:
        """What the child said when it failed, as an error that ends us in the same way."""
        code = self.process.wait()
        said = self.complaint.decode(errors="replace").strip()
        text = said.splitlines()[-1].removeprefix("towline: ") if said else ""
        ended = f"killed by signal {-code}" if code < 0 else f"exit code {code}, without a word"
        return RunError(self.side, text or ended, exit_code=code if code > 0 else 1, log=said)

    def end(self) -> None:
        """Make sure that the child is gone: a chance to clean up first."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(_CLEANING_UP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()
        for pipe in self.pipes:
            pipe.close()


class Children:
    """The children of one run; `wait_until` is the one place where we wait for them."""

    def __init__(self) -> None:
        self.all: list[Child] = []
        self.selector = selectors.DefaultSelector()

    def start(self, side: str, command: list[str]) -> Child:
        """Start one more."""
        child = Child(side, command)
        self.all.append(child)
        for pipe in child.pipes:
            self.selector.register(pipe, selectors.EVENT_READ, child)
        return child

    def wait_until(self, done: Callable[[], bool], seconds: float | None, note: Note) -> None:
        """Hand on what the children say until `done`, or until the time is over (None: no end)."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while not done():
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return
            for key, _ in self.selector.select(left):
                self._hear(key.data, key.fileobj, note)

    def failed(self) -> list[Child]:
        """Children that ended badly, the one that ended first before the others."""
        bad = [child for child in self.all if child.ended and child.process.returncode]
        return sorted(bad, key=lambda child: child.ended_at or 0.0)

    def all_ended(self) -> bool:
        """Whether nobody runs any more."""
        return all(child.ended for child in self.all)

    def _hear(self, child: Child, pipe: Any, note: Note) -> None:
        data = os.read(pipe.fileno(), 1 << 16)
        if not data:
            self.selector.unregister(pipe)
            if all(key.data is not child for key in self.selector.get_map().values()):
                child.process.wait()
                child.ended_at = time.monotonic()
        elif pipe is child.process.stdout:
            for event in child.feed(data):
                note(child, event)
        else:
            child.complaint += data


@contextmanager
def children() -> Iterator[Children]:
    """Children that are gone when the block is left, however it is left."""
    family = Children()
    try:
        yield family
    finally:
        for child in reversed(family.all):  # the sender first: a receiver without sender has nothing to tell
            with suppress(ProcessLookupError):
                child.end()
        family.selector.close()


def towline_command(*arguments: str) -> list[str]:
    """The command line of this same program."""
    return [sys.executable, "-m", "towline", *arguments]


def setting_arguments(settings: Settings, side: Side) -> list[str]:
    """The settings that `side` uses, as it reads them on its command line."""
    found = []
    for name, parameter in parameters.parameters_of(side).items():
        value = getattr(settings, name)
        option = f"--{parameters.option_of(name)}"
        if name.startswith("clang_flags_"):
            if value:
                found.append(f"--clang-flags={name.removeprefix('clang_flags_')}={shlex.join(value)}")
        elif name.startswith("datapath_"):
            if name == "datapath_sender" or side == "receiver":
                found.append(
                    f"--datapath={value}" if side != "lab" else f"--datapath={value}:{settings.datapath_receiver}"
                )
        elif isinstance(value, bool):
            found.append(option if value else f"--no-{option[2:]}")
        elif isinstance(value, tuple) and not parameter.directions:
            found.append(f"{option}={shlex.join(value)}")
        elif parameter.directions:
            found.append(f"{option}={format_directions(value, unit(parameter.unit).format)}")
        else:
            found.append(f"{option}={'none' if value is None else value}")
    return found
