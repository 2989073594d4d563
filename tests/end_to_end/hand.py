# SPDX-License-Identifier: GPL-2.0-only
"""`towline receive` and `towline send` as one types them, each in its namespace, with a watchdog on everything."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from towline.lab.environments.veth import End

WATCHDOG_S = 60.0
TOWLINE = ("-m", "towline")


class Hand:
    """One running command: `events` grows as it talks; `wait` for its end."""

    def __init__(
        self, end: End, *arguments: str, before: tuple[str, ...] = (), program: tuple[str, ...] = TOWLINE
    ) -> None:
        # A command in a namespace is execed, not forked: its pid is this one.
        command = end.command(*before, sys.executable, *program, *arguments, "--insecure", "--json")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.events: list[dict[str, Any]] = []
        self.said = ""
        self.started_at = self.ended_at = 0.0  # when bytes began to flow, and when it had said all
        self._threads = [threading.Thread(target=read, daemon=True) for read in (self._listen, self._complaint)]
        for thread in self._threads:
            thread.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait(self, seconds: float = WATCHDOG_S) -> int:
        """The exit code; what it said on stderr stands in `said`."""
        code = self.process.wait(seconds)
        for thread in self._threads:
            thread.join(5)
        return code

    def until(self, condition: Callable[[dict[str, Any]], bool], seconds: float = 30.0) -> dict[str, Any]:
        """The first event of that kind."""
        deadline = time.monotonic() + seconds
        while True:
            for event in self.events:
                if condition(event):
                    return event
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.wait(5)
                raise AssertionError(f"it never came: {self.events[-3:]} {self.said}")
            time.sleep(0.005)

    def under_way(self) -> dict[str, Any]:
        """Wait until bytes have been confirmed."""
        return self.until(lambda event: event["event"] == "progress" and event["done_bytes"] > 0)

    def finished(self) -> dict[str, Any]:
        """Its record, when it has ended well."""
        assert (self.wait(), self.said) == (0, ""), self.said
        return dict(self.until(lambda event: event["event"] == "finished")["record"])

    def end(self) -> None:
        """Make sure that it is gone."""
        self.process.kill()
        self.wait(10)
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.events.append(json.loads(line))
            if self.events[-1]["event"] == "started":
                self.started_at = time.monotonic()
        self.ended_at = time.monotonic()

    def _complaint(self) -> None:
        assert self.process.stderr is not None
        self.said = self.process.stderr.read()


@contextmanager
def hand(end: End, *arguments: str, before: tuple[str, ...] = (), program: tuple[str, ...] = TOWLINE) -> Iterator[Hand]:
    """A command that is gone when the block is left."""
    running = Hand(end, *arguments, before=before, program=program)
    try:
        yield running
    finally:
        running.end()


@contextmanager
def receiving(end: End, *arguments: str) -> Iterator[Hand]:
    """`towline receive` that is ready."""
    with hand(end, "receive", "--interface", end.interface, *arguments) as receiver:
        receiver.until(lambda event: event["event"] == "ready")
        yield receiver
