# SPDX-License-Identifier: GPL-2.0-only
"""The shape of a yardstick: the job that it is given, what it has seen, and the record that comes of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import towline
from towline.lab import machine, verify
from towline.lab import record as records
from towline.lab.emulator.impairments import Impairments, Report, measured_fields, record_fields, void_reason

# What a run of towline has too stands under the same name in its record; what was not measured is None.
FIELDS: tuple[str, ...] = (
    *(
        "yardstick",
        "tool",
        "environment",
        "offloads",
        "congestion",
        "mtu",
        "repetition",
        "seed",
        "file_bytes",
    ),
    *records.IMPAIRMENT_FIELDS,
    *("sink", "load", "stolen", "seconds", "goodput_gbps", "frames_sent", "retransmissions", "cpu_seconds"),
    *(
        "cpu_seconds_per_gib",
        "process_cpu_seconds",
        "peak_rss_mib",
        "verified",
        "capped",
        "loss",
        "void",
        "void_reason",
    ),
    *("kernel", "cpu", "version"),
)


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to send: a file, or random bytes made from `seed`; over a veth pair made for this job, or a given path.

    `offloads`: as the kernel makes a veth, with segments of 64 KiB; without, frames are as long as on a wire.
    `congestion`: TCP's control algorithm; Linux's own default, because a machine's may be slower on a veth
    (BBR reached half), and that would flatter us. `output`: the folder for the copy, where the yardstick
    makes one; else a temporary one. `impairments`: of an emulator in the middle; there are no offloads then.
    `seconds`: iperf3's: stop by the clock, however much has arrived; None: when the source is sent.
    `cap_s`: who takes longer is stopped, and what has arrived by then counts. `rate_bps`: for UDP, which has to be
    told: bits of whole frames a second, as a path's rate; None: as fast as it can.
    """

    source: Path | int
    offloads: bool = True
    congestion: str = "cubic"
    mtu: int = 1500
    seed: int = 0
    repetition: int = 0
    output: Path | None = None
    impairments: Impairments | None = None
    seconds: int | None = None
    cap_s: float | None = None
    rate_bps: int | None = None

    @property
    def source_bytes(self) -> int:
        """How much is sent; raises FileError where the file cannot be looked at."""
        return verify.source_bytes(self.source)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What was seen of a job. `load`: CPUs that were busy before it; `begin`, `end`: of what was counted.

    `seconds`: the sender's, from the first byte until the receiver has confirmed the last; where `tool` says so, of the
    whole program. `capped`: it was stopped. `loss`: share of what was sent that did not arrive, where that is to be.
    """

    tool: str
    sink: str
    load: float
    begin: machine.CpuTime
    end: machine.CpuTime
    received_bytes: int  # in `seconds`; of a yardstick that was stopped, less than was asked for
    seconds: float
    frames_sent: int
    retransmissions: int | None = None
    process_cpu_seconds: float | None = None
    peak_rss_mib: float | None = None
    verified: bool | None = None
    capped: bool = False
    loss: float | None = None
    emulated: Report | None = None  # what the emulator did, where there is one


def record(yardstick: str, job: Job, seen: Seen) -> dict[str, Any]:
    """The flat record: FIELDS, in their order."""
    found: dict[str, Any] = {
        "yardstick": yardstick,
        "tool": seen.tool,
        "environment": "veth",
        "offloads": job.offloads and job.impairments is None and seen.emulated is None,
        "congestion": job.congestion,
        "mtu": job.mtu,
        "repetition": job.repetition,
        "seed": job.seed if isinstance(job.source, int) else None,
        "file_bytes": seen.received_bytes,
        "sink": seen.sink,
        "seconds": seen.seconds,
        "goodput_gbps": seen.received_bytes * 8 / 1e9 / seen.seconds if seen.seconds > 0 else None,
        "frames_sent": seen.frames_sent,
        "retransmissions": seen.retransmissions,
        "process_cpu_seconds": seen.process_cpu_seconds,
        "peak_rss_mib": seen.peak_rss_mib,
        "verified": seen.verified,
        "capped": seen.capped,
        "loss": seen.loss,
        "version": towline.__version__,
        **machine.costs(seen.begin, seen.end, seen.load),
        **machine.describe(),
    }
    if seen.emulated is not None:
        asked = job.impairments or Impairments()
        reason = void_reason(asked, seen.emulated)
        found |= record_fields(asked) | measured_fields(seen.emulated)
        found |= {"void": True, "void_reason": reason} if reason else {}
    if seen.received_bytes and found["cpu_seconds"] is not None:
        found["cpu_seconds_per_gib"] = found["cpu_seconds"] / (seen.received_bytes / (1 << 30))
    return {name: found.get(name) for name in FIELDS}
