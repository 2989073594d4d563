# SPDX-License-Identifier: GPL-2.0-only
"""The yardstick `tcp`: a file copied to a file over one TCP connection, by sendfile, compared afterwards."""

from __future__ import annotations

import platform
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec

from towline.errors import SettingsError
from towline.lab import leftovers, machine, verify
from towline.lab.environments import veth
from towline.lab.impairments import Report
from towline.lab.yardsticks import ends
from towline.lab.yardsticks.job import Job, Seen, record

PORT = 5202


class _Receiver(msgspec.Struct, frozen=True, kw_only=True):
    """The receiver's line."""

    process_cpu_seconds: float
    peak_rss_mib: float


class _Sender(_Receiver, frozen=True, kw_only=True):
    """The sender's line."""

    received_bytes: int
    seconds: float
    load: float
    begin: machine.CpuTime
    end: machine.CpuTime
    retransmissions: int


def measure(job: Job) -> dict[str, Any]:
    """Carry out a job; random bytes are written to a file first, the copy is removed when it was compared.

    Raises RunError with the words of the side that failed, FileError, PermissionsError, UnsupportedError, and
    SettingsError for a job that stops by the clock (a part of a file is no file).
    """
    if job.seconds is not None:
        raise SettingsError("the yardstick tcp copies whole files: it cannot stop by the clock")
    size_bytes = job.source_bytes
    with ExitStack() as stack:
        source = job.source
        if isinstance(source, int):
            source = stack.enter_context(leftovers.temporary_folder(2 * size_bytes)) / "source"
            with source.open("wb", buffering=0) as file:
                for chunk in verify.source_chunks(size_bytes, job.seed):
                    file.write(chunk)
        output = job.output or stack.enter_context(leftovers.temporary_folder(size_bytes))
        copy = output / f"{source.name}.tcp"
        stack.callback(copy.unlink, missing_ok=True)
        stack.callback(copy.with_name(f".{copy.name}.part").unlink, missing_ok=True)
        sender, receiver, frames_sent, emulated = _carry_out(job, source.absolute(), copy.absolute())
        seen = Seen(
            tool=f"Python {platform.python_version()}, sendfile and splice",
            sink="file",
            load=sender.load,
            begin=sender.begin,
            end=sender.end,
            received_bytes=sender.received_bytes,
            seconds=sender.seconds,
            retransmissions=sender.retransmissions,
            frames_sent=frames_sent,
            process_cpu_seconds=sender.process_cpu_seconds + receiver.process_cpu_seconds,
            peak_rss_mib=sender.peak_rss_mib + receiver.peak_rss_mib,
            emulated=emulated,
            verified=verify.same(verify.file_chunks(source), copy),
        )
    return record("tcp", job, seen)


def _carry_out(job: Job, source: Path, copy: Path) -> tuple[_Sender, _Receiver, int, Report | None]:
    """Run both ends; returns what they said, how many frames the sender's interface has sent, and the emulator's
    report where there is one."""
    size_bytes = job.source_bytes
    with veth.veth(mtu=job.mtu, addressed=True, offloads=job.offloads, impairments=job.impairments) as path:
        where = [str(path.receiver.address), str(PORT), job.congestion]
        with ends.end("receiver", path.receiver.command(*_command("receive", *where, str(copy)))) as receiver:
            ends.wait_until_listening(receiver, PORT)
            with ends.end("sender", path.sender.command(*_command("send", *where, str(source)))) as sender:
                sent = msgspec.json.decode(ends.last_words(sender, size_bytes), type=_Sender)
            received = msgspec.json.decode(ends.last_words(receiver, size_bytes), type=_Receiver)
        return sent, received, path.sender.frames_sent(), path.emulator.report() if path.emulator else None


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "towline.lab.yardsticks.tcp_ends", *arguments]
