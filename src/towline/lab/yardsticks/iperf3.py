# SPDX-License-Identifier: GPL-2.0-only
"""The yardstick `iperf3`: bytes from memory to memory over one TCP connection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from towline.errors import RunError, SettingsError
from towline.lab import machine
from towline.lab.environments import veth
from towline.lab.yardsticks import ends
from towline.lab.yardsticks.job import Job, Seen, record

PORT = 5201


@dataclass(frozen=True, kw_only=True)
class Result:
    """What iperf3 says that the receiver got, and in how many seconds."""

    version: str
    received_bytes: int
    seconds: float
    retransmissions: int


def measure(job: Job) -> dict[str, Any]:
    """Carry out a job: as many bytes as it has, or as arrive in its seconds, iperf3's own; nothing is written, and
    nothing compared.

    What the receiver has when the sender stops is what counts: some of the last 10 MB may still be under way.
    Raises RunError with the words of the side that failed, FileError, PermissionsError, UnsupportedError, and
    SettingsError for a job of no bytes (iperf3 takes that for no end).
    """
    size_bytes = job.source_bytes
    if not size_bytes:
        raise SettingsError("iperf3 cannot send nothing: give it at least one byte")
    with veth.veth(mtu=job.mtu, addressed=True, offloads=job.offloads, impairments=job.impairments) as path:
        address = str(path.receiver.address)
        serve = path.receiver.command("iperf3", "--server", "--one-off", f"--bind={address}")
        until = f"--bytes={size_bytes}" if job.seconds is None else f"--time={job.seconds}"
        count = [until, f"--congestion={job.congestion}", "--json"]
        with ends.end("receiver", serve) as receiver:
            ends.wait_until_listening(receiver, PORT)
            load = machine.baseline()
            begin = machine.cpu_time()
            with ends.end("sender", path.sender.command("iperf3", f"--client={address}", *count)) as sender:
                said = ends.last_words(sender, size_bytes)
            end = machine.cpu_time()
        frames_sent = path.sender.frames_sent()
        emulated = path.emulator.report() if path.emulator else None
    result = parse(said)
    seen = Seen(
        tool=result.version,
        sink="memory",
        load=load,
        begin=begin,
        end=end,
        received_bytes=result.received_bytes,
        seconds=result.seconds,
        retransmissions=result.retransmissions,
        frames_sent=frames_sent,
        emulated=emulated,
    )
    return record("iperf3", job, seen)


def parse(said: bytes) -> Result:
    """The sender's JSON; raises RunError where iperf3 complains, or says what it never said before."""
    try:
        report = msgspec.json.decode(said)
        if "error" in report:
            raise RunError("sender", f"iperf3: {report['error']}")
        end = report["end"]
        return Result(
            version=str(report["start"]["version"]),
            received_bytes=int(end["sum_received"]["bytes"]),
            seconds=float(end["sum_received"]["seconds"]),
            retransmissions=int(end["sum_sent"]["retransmits"]),
        )
    except (msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
        raise RunError(
            "sender", f"iperf3's report is not understood ({error})", log=said.decode(errors="replace")
        ) from error
