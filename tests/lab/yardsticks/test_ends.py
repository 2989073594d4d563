# SPDX-License-Identifier: GPL-2.0-only
"""The processes at the ends: heard, and gone with us, whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from towline.errors import RunError
from towline.lab.yardsticks import ends


def python(text: str) -> list[str]:
    return [sys.executable, "-c", text]


FAMILY = """
import os, subprocess, sys
from towline.lab.environments.veth import End
from towline.lab.yardsticks import ends

class Here(End):
    def command(self, *arguments):
        return list(arguments)

session = "import os, time; os.setsid(); open(os.environ['TOWLINE_TEST_FIFO'], 'w').write('x'); time.sleep(60)"
starter = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"
here = Here(namespace="", interface="", mac="")
with ends.family("receiver", here, sys.executable, "-c", starter, session) as child:
    {then}
"""


def running(marker: str) -> list[int]:
    """Processes with this in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdecimal() and marker.encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
    return found


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root (CAP_SYS_ADMIN for a process number space)")
@pytest.mark.parametrize("then", ["open(os.environ['TOWLINE_TEST_FIFO']).read()", "child.process.wait()"])
def test_family__grandchildren_with_sessions_of_their_own_go_too(then: str, tmp_path: Path) -> None:
    fifo = tmp_path / "started"
    os.mkfifo(fifo)
    environment = {**os.environ, "TOWLINE_TEST_FIFO": str(fifo)}
    with subprocess.Popen(python(FAMILY.format(then=then)), env=environment) as parent:
        if "wait" in then:  # it would wait for a minute, and is killed
            with fifo.open() as started:
                assert started.read(1) == "x"
                assert len(running(str(fifo))) > 1
            parent.send_signal(signal.SIGKILL)
        assert parent.wait(20) == (-signal.SIGKILL if "wait" in then else 0)
    deadline = time.monotonic() + 10
    while running(str(fifo)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert running(str(fifo)) == []


def test_end__is_gone_with_the_block() -> None:
    with pytest.raises(KeyboardInterrupt), ends.end("sender", ["sleep", "60"]) as child:
        raise KeyboardInterrupt
    assert child.process.returncode


def test_last_words__of_one_that_fails_and_of_one_that_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    with ends.end("sender", python("print('{}')")) as child:
        assert ends.last_words(child, 0) == b"{}\n"
    with (
        ends.end("sender", python("import sys; sys.exit('towline: the disk is full')")) as child,
        pytest.raises(RunError, match="sender of the run ended: the disk is full"),
    ):
        ends.last_words(child, 0)
    monkeypatch.setattr(ends, "START_S", 0.2)
    with (
        ends.end("receiver", ["sleep", "60"]) as child,
        pytest.raises(RunError, match="receiver of the run ended: not done after 0 s"),
    ):
        ends.last_words(child, 0)


def test_ended__says_whether_and_loses_patience_without_a_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    with ends.end("sender", python("print('all')")) as child:
        assert ends.ended(child, 0, 20)
        assert ends.last_words(child, 0) == b"all\n"
    monkeypatch.setattr(ends, "START_S", 0.1)
    with ends.end("sender", ["sleep", "60"]) as child:
        assert not ends.ended(child, 1 << 30, 0.1)
        with pytest.raises(RunError, match="not done"):
            ends.ended(child, 0, None)


LISTEN = """
import socket, time
time.sleep(0.2)
listener = socket.create_server(("127.0.0.1", {port}))
print(time.monotonic(), flush=True)
time.sleep(60)
"""


def test_wait_until_listening__waits_without_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    with ends.end("receiver", python(LISTEN.format(port=45_671))) as child:
        ends.wait_until_listening(child, 45_671)
        assert child.process.stdout is not None
        assert float(child.process.stdout.readline()) <= time.monotonic()
        monkeypatch.setattr(ends, "START_S", 0.1)
        with pytest.raises(RunError, match="not listening"):
            ends.wait_until_listening(child, 45_672)
    with (
        ends.end("receiver", python("import sys; sys.exit('towline: in use')")) as child,
        pytest.raises(RunError, match="in use"),
    ):
        ends.wait_until_listening(child, 45_671)
