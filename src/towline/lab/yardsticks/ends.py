# SPDX-License-Identifier: GPL-2.0-only
"""The processes at the two ends of a yardstick: started, listened to, and gone with the block."""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from towline.errors import RunError
from towline.lab.children import Child
from towline.lab.environments import veth

START_S = 20.0
SLOWEST_BYTES_PER_SECOND = 4 << 20  # whoever is slower than that has stopped
_WAITING = {"tcp": "0A", "udp": "07"}  # the state of a socket in /proc/net: TCP_LISTEN; bound and not connected


# A process number space of its own: with its first process all go, also those that sshd made sessions of their own for.
# unshare waits for that one and is deaf to SIGTERM, so it is the signal that cannot be overheard when we die.
FAMILY = ("setpriv", "--pdeathsig", "KILL", "unshare", "--pid", "--fork", "--kill-child=KILL")


@contextmanager
def end(side: str, command: list[str]) -> Iterator[Child]:
    """A process that dies with us, and that is gone when the block is left."""
    child = Child(side, command)
    try:
        yield child
    finally:
        with suppress(ProcessLookupError):
            child.end()


@contextmanager
def family(side: str, where: veth.End, *arguments: str) -> Iterator[Child]:
    """A program in a namespace that starts others: all die with us, and are gone when the block is left."""
    with end(side, where.command(*FAMILY, *arguments)) as child:
        try:
            yield child
        finally:
            child.process.kill()


def ended(child: Child, size_bytes: int, cap_s: float | None) -> bool:
    """Wait until a child has ended, `last_words` then tells how; False where it is still running after `cap_s`.

    It may say no more than a pipe holds. RunError where there is no cap and it takes far too long.
    """
    most_s = _patience_s(size_bytes) if cap_s is None else cap_s
    descriptor = os.pidfd_open(child.process.pid)
    try:
        if select.select([descriptor], [], [], most_s)[0]:
            return True
    finally:
        os.close(descriptor)
    if cap_s is None:
        raise RunError(child.side, f"not done after {most_s:.0f} s")
    return False


def last_words(child: Child, size_bytes: int, cap_s: float | None = None) -> bytes:
    """All that a child says on stdout until it ends; RunError where it fails, or takes far too long.

    `cap_s`: after which it stops by itself.
    """
    patience_s = _patience_s(size_bytes) if cap_s is None else START_S + cap_s
    try:
        said, child.complaint = child.process.communicate(timeout=patience_s)
    except subprocess.TimeoutExpired as error:
        raise RunError(child.side, f"not done after {patience_s:.0f} s") from error
    if child.process.returncode:
        # iperf3 --json complains on stdout, and its report then says more than the exit code.
        child.complaint = child.complaint or said
        raise child.error()
    return said


def whatever_is_said(child: Child) -> bytes:
    """What a child that was interrupted says on stdout until it ends, well or not; RunError where it does not end."""
    try:
        said, child.complaint = child.process.communicate(timeout=START_S)
    except subprocess.TimeoutExpired as error:
        raise RunError(child.side, f"still there {START_S:.0f} s after it was interrupted") from error
    return bytes(said)


def _patience_s(size_bytes: int) -> float:
    return START_S + size_bytes / SLOWEST_BYTES_PER_SECOND


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
    """Whether an IPv4 socket, TCP or UDP, waits at a port of the network namespace of a process."""
    for protocol, waiting in _WAITING.items():
        lines: list[str] = []
        with suppress(OSError):
            lines = Path(f"/proc/{pid}/net/{protocol}").read_text().splitlines()[1:]
        sockets = [line.split() for line in lines]
        if any(socket[3] == waiting and int(socket[1].partition(":")[2], 16) == port for socket in sockets):
            return True
    return False
