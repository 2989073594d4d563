# SPDX-License-Identifier: GPL-2.0-only
"""What a running transfer tells whoever started it: the command line, the laboratory, a test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from towline.parameter import Role


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag=str.lower):
    """Base of all events; `--json` prints each as one line with the field `event`."""


class Ready(Event, frozen=True, kw_only=True):
    """A receiver listens; from here on a sender finds it. `notes` says what was not used as asked, and why."""

    interface: str
    targets: tuple[str, ...]  # what a sender types, with its own interface in place of IF
    levels: tuple[str, ...]
    mode: str | None  # "native" or "generic" XDP; None: ordinary sockets
    notes: tuple[str, ...] = ()


class Started(Event, frozen=True, kw_only=True):
    """The handshake is over; bytes flow from here. `notes` says what was not used as asked, and why."""

    name: str
    peer: str
    file_bytes: int
    payload_size: int
    lanes: int
    level: str
    transmit: str  # "live", "packet" or "udp"
    mode: str | None  # "native" or "generic" XDP hears the acknowledgements; None: an ordinary socket
    notes: tuple[str, ...] = ()


class Note(Event, frozen=True, kw_only=True):
    """Something is done otherwise from here on, and why."""

    text: str


class Progress(Event, frozen=True, kw_only=True):
    """How far a transfer is; at most ten a second."""

    done_bytes: int  # sender: sent and drained by the receiver; receiver: verified
    total_bytes: int | None  # None while a receiver does not know it
    seconds: float


class Sample(Event, frozen=True, kw_only=True):
    """The state of a transfer, every 50 ms and at its end; None: this side does not know it."""

    side: Role
    at_us: int  # CLOCK_MONOTONIC, the same for all processes of a machine
    done_bytes: int  # as in Progress
    packets_sent: int | None = None  # DATA frames, retransmissions and copies included
    retransmissions: int | None = None
    rtt_us: int | None = None  # smoothed
    window_fill: float | None = None  # 0 to 1: the share of the sender's slots that wait to be drained
    ring_fill: float | None = None  # 0 to 1: the share of the BPF ring buffers in use
    program_version: int | None = None  # of this side's XDP program: a swap is where it changes


class Replaced(Event, frozen=True, kw_only=True):
    """Somebody has put another program in place; it is on trial (protocol/trial.py)."""

    side: Role
    program: int  # the kernel's number
    version: int  # 0: it is none of towline's
    source: str  # the file that it was compiled from


class RolledBack(Event, frozen=True, kw_only=True):
    """The transfer stood still under a program that had been put in place; this one is there again."""

    side: Role
    program: int
    version: int
    source: str
    stalled_seconds: float


class Finished(Event, frozen=True, kw_only=True):
    """One transfer ended well. `record` holds this side's fields of the flat record (design, results)."""

    name: str
    path: str | None  # where a receiver put the file; None for a sender or sink "memory"
    record: dict[str, Any]


class Parted(Event, frozen=True, kw_only=True):
    """The sender of a finished transfer has taken its leave: `record` has the counters again, with what came late."""

    name: str
    record: dict[str, Any]


class Failed(Event, frozen=True, kw_only=True):
    """One transfer of a receiver that goes on (`--keep`) ended badly."""

    name: str
    reason: str


OnEvent = Callable[[Event], None]
# What a line of `--json` may be.
AnyEvent = Ready | Started | Note | Progress | Sample | Replaced | RolledBack | Finished | Parted | Failed
