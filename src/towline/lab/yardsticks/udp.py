# SPDX-License-Identifier: GPL-2.0-only
"""The yardstick `udp`: numbered packets at the rate that it is told; what is lost is lost, so it delivers no file."""

from __future__ import annotations

import platform
import sys
from typing import Any

import msgspec

from towline.lab import machine
from towline.lab.environments import veth
from towline.lab.yardsticks import ends, wire
from towline.lab.yardsticks.files import files
from towline.lab.yardsticks.job import Job, Seen, record

PORT = 5207
HEADERS_BYTES = 28  # of IPv4 and UDP
_ETHERNET_BYTES = 14
_NUMBER_BYTES = 8


class _Received(msgspec.Struct, frozen=True, kw_only=True):
    """The receiver's line; `packets`: without copies; `last_s`: when the last of them came (CLOCK_MONOTONIC)."""

    packets: int
    last_packet: bool
    last_s: float | None
    process_cpu_seconds: float
    peak_rss_mib: float


class _Sent(msgspec.Struct, frozen=True, kw_only=True):
    """The sender's line."""

    packets: int
    joined: int
    started_s: float
    ended_s: float
    load: float
    begin: machine.CpuTime
    end: machine.CpuTime
    process_cpu_seconds: float
    peak_rss_mib: float


def measure(job: Job, path: veth.Path | None = None) -> dict[str, Any]:
    """Carry out a job: what counts is the file's bytes that arrived, from the first packet to the last; and `loss`.

    Without a rate it sends as fast as it can, which on most paths only means that more is lost. Nothing is written.
    Raises RunError with the words of the side that failed, and what `files` and `wire` raise.
    """
    with files(job, "udp") as copied, wire.wire(job, path) as crossed:
        frame_bytes = _ETHERNET_BYTES + job.mtu
        share = (job.mtu - HEADERS_BYTES - _NUMBER_BYTES) / frame_bytes
        numbers = [str(job.mtu - HEADERS_BYTES), str((job.rate_bps or 0) / 8 / frame_bytes), str(job.cap_s or 0)]
        size_bytes = job.source_bytes
        expected_s = size_bytes * 8 / (job.rate_bps * share) if job.rate_bps else 0.0
        sent, received = _carry_out(job, crossed.path, str(copied.source), numbers, job.cap_s or expected_s)
        data_bytes = job.mtu - HEADERS_BYTES - _NUMBER_BYTES
        packets = -(-size_bytes // data_bytes)
        seen = Seen(
            tool=f"Python {platform.python_version()}, up to {sent.joined} packets a call",
            sink="memory",
            load=sent.load,
            begin=sent.begin,
            end=sent.end,
            received_bytes=received.packets * data_bytes - received.last_packet * (packets * data_bytes - size_bytes),
            seconds=(received.last_s or sent.ended_s) - sent.started_s,
            frames_sent=crossed.frames_sent(),
            process_cpu_seconds=sent.process_cpu_seconds + received.process_cpu_seconds,
            peak_rss_mib=sent.peak_rss_mib + received.peak_rss_mib,
            emulated=crossed.emulated(),
            capped=sent.packets < packets,
            loss=1 - received.packets / sent.packets if sent.packets else None,
        )
    return record("udp", job, seen) | {"congestion": None}


def _carry_out(job: Job, path: veth.Path, file: str, numbers: list[str], expected_s: float) -> tuple[_Sent, _Received]:
    module = "towline.lab.yardsticks.udp_ends"

    def command(side: veth.End, do: str) -> list[str]:
        return side.command(sys.executable, "-m", module, do, str(path.receiver.address), str(PORT), file, *numbers)

    with ends.end("receiver", command(path.receiver, "receive")) as receiver:
        ends.wait_until_listening(receiver, PORT)
        with ends.end("sender", command(path.sender, "send")) as sender:
            sent = msgspec.json.decode(ends.last_words(sender, job.source_bytes, expected_s), type=_Sent)
        return sent, msgspec.json.decode(ends.last_words(receiver, 0), type=_Received)
