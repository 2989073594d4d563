# SPDX-License-Identifier: GPL-2.0-only
"""The emulator as the laboratory sees it: a child that dies with us, told and asked in lines of JSON."""

from __future__ import annotations

import os
import selectors
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from towline.errors import RunError
from towline.lab.emulator.impairments import Impairments, Report, encode, void_reason

READY_S = 120.0  # clang may have to compile first
ANSWER_S = 10.0
_ENDING_S = 10.0


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    ready: bool = False
    priority: str | None = None
    done: bool = False
    report: Report | None = None
    error: str | None = None


class Emulator:
    """The running emulator of one path; `priority`: why it has no real-time priority, None if it has."""

    def __init__(self, process: subprocess.Popen[bytes], asked: Impairments, stderr: Any) -> None:
        self.impairments = asked
        self._process, self._stderr, self._rest = process, stderr, b""
        self.priority = self._answer(READY_S).priority

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def set(self, asked: Impairments) -> None:
        """New impairments from now on: frames in flight are gone, counts and random numbers begin anew."""
        self._tell(f'{{"set": {encode(asked)}}}')
        self.impairments = asked

    def report(self) -> Report:
        """What it did since the last `set`."""
        report = self._tell('{"report": true}').report
        assert report is not None
        return report

    def blackhole(self, seconds: float, direction: str | None = None) -> None:
        """Nothing passes for so long, `forward`, `backward` or (None) both ways; what is in flight arrives."""
        asked: dict[str, Any] = {"blackhole": seconds}
        self._tell(msgspec.json.encode(asked | ({"direction": direction} if direction else {})).decode())

    def void_reason(self) -> str | None:
        """Why a run since the last `set` does not count."""
        return void_reason(self.impairments, self.report())

    def _tell(self, line: str) -> _Answer:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # its own words are better
            self._process.stdin.write(line.encode() + b"\n")
        answer = self._answer(ANSWER_S)
        if answer.error:
            raise RunError("emulator", answer.error)
        return answer

    def _answer(self, seconds: float) -> _Answer:
        stdout = self._process.stdout
        assert stdout is not None
        deadline = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while b"\n" not in self._rest:
                if not selector.select(max(deadline - time.monotonic(), 0)):
                    raise RunError("emulator", f"no answer within {seconds:g} s")
                if not (data := os.read(stdout.fileno(), 1 << 16)):
                    raise self._ended()
                self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return msgspec.json.decode(line, type=_Answer)

    def _ended(self) -> RunError:
        code = self._process.wait()
        self._stderr.seek(0)
        said = self._stderr.read().decode(errors="replace").strip()
        text = said.splitlines()[-1].removeprefix("towline: ") if said else f"it ended with {code}"
        return RunError("emulator", text, exit_code=code if code > 0 else 1, log=said)


@contextmanager
def emulator(
    command: Sequence[str],
    asked: Impairments,
    *,
    left: str,
    right: str,
    capture: Path | None = None,
    clang_flags: Sequence[str] = (),
) -> Iterator[Emulator]:
    """Start it between two interfaces of a namespace, and end it; `command` stands before and goes there.

    Raises RunError with its words where it does not become ready.
    """
    words = [
        *("setpriv", "--pdeathsig", "TERM", *command, sys.executable, "-m", "towline.lab.emulator.impair"),
        *(f"--left={left}", f"--right={right}", f"--impairments={encode(asked)}"),
        *([f"--capture={capture.absolute()}"] if capture else []),
        *([f"--clang-flags={shlex.join(clang_flags)}"] if clang_flags else []),
    ]
    with tempfile.TemporaryFile() as stderr:
        process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, bufsize=0, process_group=0
        )
        try:
            yield Emulator(process, asked, stderr)
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()  # it ends with its input
    try:
        process.wait(_ENDING_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
