# SPDX-License-Identifier: GPL-2.0-only
"""The yardstick `iperf3`: bytes from memory to memory over one TCP connection."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec

from towline.errors import RunError, SettingsError
from towline.lab import machine
from towline.lab.environments import veth
from towline.lab.yardsticks import ends, wire
from towline.lab.yardsticks.job import Job, Seen, record

PORT = 5201
_INTERVAL_S = 0.1  # the server's, the shortest that it takes: an interrupted run is known to the last whole one


@dataclass(frozen=True, kw_only=True)
class Result:
    """What iperf3 says that the receiver got, and in how many seconds."""

    version: str
    received_bytes: int
    seconds: float
    retransmissions: int


def measure(job: Job, path: veth.Path | None = None) -> dict[str, Any]:
    """Carry out a job: as many bytes as it has, or as arrive in its seconds, iperf3's own; nothing is written, and
    nothing compared.

    What the receiver has when the sender stops is what counts: some of the last 10 MB may still be under way.
    Raises RunError with the words of the side that failed, FileError, PermissionsError, UnsupportedError, and
    SettingsError for a job of no bytes (iperf3 takes that for no end).
    """
    size_bytes = job.source_bytes
    if not size_bytes:
        raise SettingsError("iperf3 cannot send nothing: give it at least one byte")
    with wire.wire(job, path) as crossed:
        sender, receiver = crossed.path.sender, crossed.path.receiver
        often = [] if job.cap_s is None else ["--json", f"--interval={_INTERVAL_S}"]
        serve = receiver.command("iperf3", "--server", "--one-off", f"--bind={receiver.address}", *often)
        until = f"--bytes={size_bytes}" if job.seconds is None else f"--time={job.seconds}"
        count = [until, f"--congestion={job.congestion}", "--json", "--interval=0"]  # the sums alone
        with ends.end("receiver", serve) as server:
            ends.wait_until_listening(server, PORT)
            load = machine.baseline()
            begin = machine.cpu_time()
            with ends.end("sender", sender.command("iperf3", f"--client={receiver.address}", *count)) as client:
                capped = not ends.ended(client, size_bytes, job.cap_s)
                if capped:
                    client.process.send_signal(signal.SIGINT)  # the server hears of it, and both report
                    said = ends.whatever_is_said(client)
                else:
                    said = ends.last_words(client, size_bytes)
            end = machine.cpu_time()
            result = parse_interrupted(said, ends.whatever_is_said(server)) if capped else parse(said)
        seen = Seen(
            tool=result.version,
            sink="memory",
            load=load,
            begin=begin,
            end=end,
            received_bytes=result.received_bytes,
            seconds=result.seconds,
            retransmissions=result.retransmissions,
            frames_sent=crossed.frames_sent(),
            emulated=crossed.emulated(),
            capped=capped,
        )
    return record("iperf3", job, seen)


def parse(said: bytes) -> Result:
    """The sender's JSON; raises RunError where iperf3 complains, or says what it never said before."""
    with _understood("sender", said):
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


def parse_interrupted(said: bytes, heard: bytes) -> Result:
    """The JSON of a sender that was interrupted, and of its receiver; raises RunError as `parse`.

    The sender knows nothing of what has arrived, and the receiver's sums mix one interval's seconds with all the bytes.
    The receiver's intervals are right, but for the last, which stands there twice.
    """
    with _understood("sender", said):
        sent = msgspec.json.decode(said)
        version, retransmissions = str(sent["start"]["version"]), int(sent["end"]["sum_sent"]["retransmits"])
    with _understood("receiver", heard):
        sums = (interval["sum"] for interval in msgspec.json.decode(heard)["intervals"])
        intervals = {float(one["start"]): one for one in sums}
        return Result(
            version=version,
            received_bytes=sum(int(one["bytes"]) for one in intervals.values()),
            seconds=float(intervals[max(intervals)]["end"]) - min(intervals),
            retransmissions=retransmissions,
        )


@contextmanager
def _understood(side: str, said: bytes) -> Iterator[None]:
    try:
        yield
    except (msgspec.DecodeError, LookupError, TypeError, ValueError) as error:
        log = said.decode(errors="replace")
        raise RunError(side, f"iperf3's report is not understood ({error})", log=log) from error
