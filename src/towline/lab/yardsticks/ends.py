# SPDX-License-Identifier: GPL-2.0-only
"""The processes at the two ends of a yardstick: started, listened to, and gone with the block."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from towline.errors import RunError
from towline.lab.children import Child

START_S = 20.0
SLOWEST_BYTES_PER_SECOND = 4 << 20  # whoever is slower than that has stopped
_LISTENING = "0A"  # TCP_LISTEN in /proc/net/tcp


@contextmanager
def end(side: str, command: list[str]) -> Iterator[Child]:
    """A process that dies with us, and that is gone when the block is left."""
    child = Child(side, command)
    try:
        yield child
    finally:
        with suppress(ProcessLookupError):
            child.end()


def last_words(child: Child, size_bytes: int) -> bytes:
    """All that a child says on stdout until it ends; RunError where it fails, or takes far too long."""
    patience_s = START_S + size_bytes / SLOWEST_BYTES_PER_SECOND
    try:
        said, child.complaint = child.process.communicate(timeout=patience_s)
    except subprocess.TimeoutExpired as error:
        raise RunError(child.side, f"not done after {patience_s:.0f} s") from error
    if child.process.returncode:
        # iperf3 --json complains on stdout, and its report then says more than the exit code.
        child.complaint = child.complaint or said
        raise child.error()
    return said


def wait_until_listening(child: Child, port: int) -> None:
    """Wait until a port is open in the child's namespace; a trial connection would be the one it serves.

    Raises RunError where the child ends, or takes too long.
    """
    deadline = time.monotonic() + START_S
    while not _listens(child.process.pid, port):
        if child.process.poll() is not None:
            _, child.complaint = child.process.communicate()
            raise child.error()
        if time.monotonic() > deadline:
            raise RunError(child.side, f"not listening after {START_S:.0f} s")
        time.sleep(0.01)


def _listens(pid: int, port: int) -> bool:
    """Whether an IPv4 socket listens on a port of the network namespace of a process."""
    lines: list[str] = []
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
    sockets = [line.split() for line in lines]
    return any(socket[3] == _LISTENING and int(socket[1].partition(":")[2], 16) == port for socket in sockets)
