# SPDX-License-Identifier: GPL-2.0-only
"""A file copied by a program that others wrote, to a server of its own: what `rsync` and `scp` have in common."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from towline.lab import leftovers, machine
from towline.lab.environments import veth
from towline.lab.yardsticks import ends, wire
from towline.lab.yardsticks.files import Files, files
from towline.lab.yardsticks.job import Job, Seen, record

HOW = "from the program's start to its end, connecting included"


@dataclass(frozen=True, kw_only=True)
class Programs:
    """The two command lines; the server listens at `port` until it is killed, the client ends when it is done."""

    server: tuple[str, ...]
    client: tuple[str, ...]
    port: int


# From an empty folder for keys and configuration, the files, and the receiver's address.
Prepare = Callable[[Path, Files, str], Programs]


def measure(yardstick: str, job: Job, path: veth.Path | None, *, tool: str, prepare: Prepare) -> dict[str, Any]:
    """Copy the file; the clock is what a user waits, from the start of the program to its end.

    Raises RunError with the words of the side that failed, and what `files` and `wire` raise.
    """
    with (
        leftovers.temporary_folder(0) as folder,
        files(job, yardstick) as copied,
        wire.wire(job, path) as crossed,
    ):
        programs = prepare(folder, copied, str(crossed.path.receiver.address))
        with ends.family("receiver", crossed.path.receiver, *programs.server) as server:
            ends.wait_until_listening(server, programs.port)
            load = machine.baseline()
            begin = machine.cpu_time()
            started_s = time.monotonic()
            with ends.family("sender", crossed.path.sender, *programs.client) as client:
                done = ends.ended(client, job.source_bytes, job.cap_s)
                seconds = time.monotonic() - started_s
                received_bytes = copied.received_bytes()
                end = machine.cpu_time()
                if done:
                    ends.last_words(client, 0)
        seen = Seen(
            tool=f"{tool}; {HOW}",
            sink="file",
            load=load,
            begin=begin,
            end=end,
            received_bytes=received_bytes,
            seconds=seconds,
            frames_sent=crossed.frames_sent(),
            emulated=crossed.emulated(),
            capped=not done,
        )
        seen = replace(seen, verified=copied.verified() if done else None)
    return record(yardstick, job, seen)


def version(*command: str) -> str:
    """The first three words that a program says about itself, on stdout or stderr; '' where it cannot be run."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
    except OSError:
        return ""
    return " ".join(done.stdout.split()[:3])
