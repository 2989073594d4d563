# SPDX-License-Identifier: GPL-2.0-only
"""Children: what they say is heard, how they end is told, and none outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from towline.lab.children import Child, children
from towline.transfer import events
from towline.transfer.events import AnyEvent

READY = '{"event":"ready","interface":"tl0","targets":["a%IF"],"levels":[],"mode":"native"}'
FAILED = '{"event":"failed","name":"n","reason":"r"}'


def shell(text: str) -> list[str]:
    return ["sh", "-c", text]


def gone(pid: int) -> bool:
    """Whether a process has ended (a zombie has)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def soon(condition: object) -> bool:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if condition():  # type: ignore[operator]
            return True
        time.sleep(0.01)
    return False


def test_children__events_come_whole_however_they_are_cut() -> None:
    heard: list[tuple[str, AnyEvent]] = []

    def note(child: Child, event: AnyEvent) -> None:
        heard.append((child.side, event))

    with children() as family:
        family.start("a", shell(f"printf '%s' '{READY[:9]}'; sleep 0.1; printf '%s\\n%s\\n' '{READY[9:]}' '{FAILED}'"))
        family.wait_until(family.all_ended, 10, note)
    assert [(side, type(event)) for side, event in heard] == [("a", events.Ready), ("a", events.Failed)]


def test_error__has_the_last_words_and_the_exit_code() -> None:
    with children() as family:
        child = family.start("sender", shell("echo trace >&2; echo 'towline: the disk is full' >&2; exit 10"))
        family.wait_until(family.all_ended, 10, lambda *_: None)
        assert family.failed() == [child]
        error = child.error()
    assert (error.exit_code, error.side, error.what) == (10, "sender", "the disk is full")
    assert error.log == "trace\ntowline: the disk is full"


def test_error__of_a_child_that_was_killed() -> None:
    with children() as family:
        child = family.start("sender", shell("kill -9 $$"))
        family.wait_until(family.all_ended, 10, lambda *_: None)
        assert "signal 9" in str(child.error())
        assert child.error().exit_code == 1


def test_failed__the_first_to_end_comes_first() -> None:
    with children() as family:
        late = family.start("late", shell("sleep 0.3; exit 1"))
        early = family.start("early", shell("exit 1"))
        family.start("good", shell("exit 0"))
        family.wait_until(family.all_ended, 10, lambda *_: None)
        assert family.failed() == [early, late]


def test_children__are_gone_when_the_block_is_left() -> None:
    started: list[Child] = []

    def interrupted() -> None:
        with children() as family:
            started.append(family.start("a", shell("exec sleep 60")))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert started[0].process.returncode == -signal.SIGTERM


def test_wait_until__comes_back_when_the_time_is_over() -> None:
    with children() as family:
        family.start("a", shell("exec sleep 60"))
        begin = time.monotonic()
        family.wait_until(family.all_ended, 0.2, lambda *_: None)
        assert 0.2 <= time.monotonic() - begin < 5
        assert not family.all_ended()


def test_children__die_with_a_parent_that_is_killed() -> None:
    program = (
        "import time; from towline.lab.children import children\n"
        "with children() as family:\n"
        "    print(family.start('a', ['sleep', '60']).process.pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        # The child is not yet setpriv, let alone sleep, when its pid is known.
        assert soon(lambda: Path(f"/proc/{pid}/comm").read_text() == "sleep\n")
        os.kill(parent.pid, signal.SIGKILL)
        assert soon(lambda: gone(pid))
