# SPDX-License-Identifier: GPL-2.0-only
"""A file between two processes of our own, one at each end: what `tcp` and `quic` have in common."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import msgspec

from towline.lab import machine
from towline.lab.environments import veth
from towline.lab.yardsticks import ends, wire
from towline.lab.yardsticks.files import Files, files
from towline.lab.yardsticks.job import Job, Seen, record


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """The receiver's line; `capped_s`: when it stopped because the time was over (CLOCK_MONOTONIC, seconds)."""

    received_bytes: int
    capped_s: float | None
    process_cpu_seconds: float
    peak_rss_mib: float


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """The sender's line; times as the receiver's."""

    started_s: float
    ended_s: float
    load: float
    begin: machine.CpuTime
    end: machine.CpuTime
    retransmissions: int | None
    process_cpu_seconds: float
    peak_rss_mib: float


def measure(
    yardstick: str, job: Job, path: veth.Path | None, *, module: str, tool: str, port: int, more: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Run both ends of `module` and compare what has arrived; `more`: further arguments of both.

    Raises RunError with the words of the side that failed, and what `files` and `wire` raise.
    """
    with files(job, yardstick) as copied, wire.wire(job, path) as crossed:
        sent, received = _carry_out(job, copied, crossed.path, module, port, more)
        capped = received.capped_s is not None
        seen = Seen(
            tool=tool,
            sink="file",
            load=sent.load,
            begin=sent.begin,
            end=sent.end,
            received_bytes=received.received_bytes,
            seconds=(sent.ended_s if received.capped_s is None else received.capped_s) - sent.started_s,
            retransmissions=sent.retransmissions,
            frames_sent=crossed.frames_sent(),
            process_cpu_seconds=sent.process_cpu_seconds + received.process_cpu_seconds,
            peak_rss_mib=sent.peak_rss_mib + received.peak_rss_mib,
            emulated=crossed.emulated(),
            capped=capped,
        )
        seen = replace(seen, verified=None if capped else copied.verified())
    return record(yardstick, job, seen)


def _carry_out(
    job: Job, copied: Files, path: veth.Path, module: str, port: int, more: tuple[str, ...]
) -> tuple[Sent, Received]:
    size_bytes, cap_s = job.source_bytes, str(job.cap_s or 0)

    def command(side: veth.End, do: str, file: str) -> list[str]:
        where = [str(path.receiver.address), str(port), job.congestion]
        return side.command(sys.executable, "-m", module, do, *where, file, cap_s, *more)

    with ends.end("receiver", command(path.receiver, "receive", str(copied.copy))) as receiver:
        ends.wait_until_listening(receiver, port)
        with ends.end("sender", command(path.sender, "send", str(copied.source))) as sender:
            sent = msgspec.json.decode(ends.last_words(sender, size_bytes, job.cap_s), type=Sent)
        return sent, msgspec.json.decode(ends.last_words(receiver, size_bytes, job.cap_s), type=Received)
