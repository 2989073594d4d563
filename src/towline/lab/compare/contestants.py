# SPDX-License-Identifier: GPL-2.0-only
"""Who takes part in a comparison, who cannot on this machine, and one bout: the same file over the same path."""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import towline
from towline.errors import PermissionsError, RunError
from towline.lab import machine, record, run
from towline.lab.emulator.impairments import Impairments
from towline.lab.environments import veth
from towline.lab.run import Run
from towline.lab.sweep.bench import WRONG_BYTES
from towline.lab.yardsticks.job import Job
from towline.settings import Datapath, Settings
from towline.transfer import events
from towline.transfer.events import OnEvent

Record = dict[str, Any]
CarryOut = Callable[[Run, OnEvent, veth.Path | None], Record]

PACE_SHARE = 0.98  # of the path's rate: towline has no congestion control, and a queue that only grows overflows
OURS = "towline"
TOLD = " (told the rate)"


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """One who takes part. `yardstick`: which of yardsticks.YARDSTICKS it is, None: towline itself.

    `offloads`: those of a clean pair; `delivers_file`: else it is shown, but is no rival; `is_told`: it is told how
    fast the path is. For estimates alone: `loss_slows`: it takes every loss for a full queue; `guess_gbps`: how fast
    its program is.
    """

    name: str
    label: str
    yardstick: str | None = None
    datapath: Datapath = "ebpf"
    congestion: str = "cubic"
    offloads: bool = True
    delivers_file: bool = True
    is_told: bool = False
    loss_slows: bool = False
    guess_gbps: float = 5.0


@dataclass(frozen=True, kw_only=True)
class Bout:
    """One run of a contestant. `settings`: the path's impairments; `emulated`: they are met in the emulator, even if
    there are none; `cap_s`: whoever has not finished then is stopped, and what has arrived is counted."""

    contestant: Contestant
    source: Path
    settings: Settings
    emulated: bool
    cap_s: float
    seed: int = 0
    repetition: int = 0

    def impairments(self) -> Impairments | None:
        """What the emulator is told; None: there is none in the path."""
        asked = run.impairments_of(Run(source=self.source, settings=self.settings, seed=self.seed))
        return asked or (Impairments(seed=self.seed) if self.emulated else None)


_ALL = (
    Contestant(name=OURS, label="towline", is_told=True),
    Contestant(name="towline-socket", label="towline without eBPF", datapath="socket", is_told=True, guess_gbps=1.0),
    Contestant(name="tcp-cubic", label="TCP (cubic)", yardstick="tcp", loss_slows=True),
    Contestant(name="tcp-bbr", label="TCP (BBR)", yardstick="tcp", congestion="bbr"),
    Contestant(name="udp", label="UDP", yardstick="udp", is_told=True, delivers_file=False, guess_gbps=3.0),
    Contestant(name="quic-aioquic", label="QUIC (aioquic)", yardstick="quic-aioquic", loss_slows=True, guess_gbps=0.15),
    Contestant(name="quic-picoquic", label="QUIC (picoquic)", yardstick="quic-picoquic", guess_gbps=1.0),
    Contestant(name="rsync", label="rsync (cubic)", yardstick="rsync", loss_slows=True, guess_gbps=2.0),
    Contestant(name="scp", label="scp (cubic)", yardstick="scp", loss_slows=True, guess_gbps=1.5),
    Contestant(name="iperf3", label="iperf3 (cubic)", yardstick="iperf3", loss_slows=True, delivers_file=False),
)
_TWO_WAYS = ("tcp-cubic", "tcp-bbr", "rsync", "scp", "iperf3")  # with offloads and without, where there are any


def contestants(*, emulated: bool, told: bool) -> dict[str, Contestant]:
    """All by name, also those that are not installed. `emulated`: else a clean pair; `told`: the path has a rate."""
    found: dict[str, Contestant] = {}
    for one in _ALL:
        found[one.name] = dataclasses.replace(one, label=one.label + TOLD) if told and one.is_told else one
        if not emulated and one.name in _TWO_WAYS:
            name = f"{one.name}-no-offloads"
            found[name] = dataclasses.replace(one, name=name, label=f"{one.label}, no offloads", offloads=False)
    return found


def missing(one: Contestant) -> str | None:
    """Why a contestant cannot take part here, and how to get it; None: it can."""
    if one.yardstick is None:
        return None
    from towline.lab.yardsticks import YARDSTICKS  # noqa: PLC0415 (QUIC's libraries take long to import)

    yardstick = YARDSTICKS.get(one.yardstick)
    if yardstick is None:
        return "there is no such yardstick yet"
    return yardstick.missing() or _no_congestion_control(one.congestion)


def _no_congestion_control(name: str) -> str | None:
    with socket.socket() as trial:
        try:
            trial.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, name.encode())
        except OSError:
            return f"this kernel has no congestion control {name}: try `modprobe tcp_{name}`"
    return None


def carry_out(bout: Bout, path: veth.Path | None, transfer: CarryOut = run.run) -> Record:
    """The record of a bout, over a given path or (None) over a pair of its own; a failure is a result, too.

    Besides what the contestant's own record has: `tool failed capped lost`. Raises PermissionsError's RunError, and
    what else no run can do anything about.
    """
    try:
        found = _towline(bout, path, transfer) if bout.contestant.yardstick is None else _yardstick(bout, path)
    except RunError as error:
        if error.exit_code == PermissionsError.exit_code:
            raise
        found = _failure(bout, str(error))
    lost = found.pop("loss", None)
    found = {"tool": None, "failed": None, "capped": False, **found, "lost": lost}
    if found["verified"] is False and found["failed"] is None:
        found["failed"] = WRONG_BYTES
    return found


class _CappedError(Exception):
    """The time is over."""

    def __init__(self, last: events.Progress) -> None:
        super().__init__()
        self.last = last


def _towline(bout: Bout, path: veth.Path | None, transfer: CarryOut) -> Record:
    def watch(event: events.Event) -> None:
        if isinstance(event, events.Progress) and event.seconds >= bout.cap_s:
            raise _CappedError(event)

    settings = towline_settings(bout)
    plan = Run(
        source=bout.source,
        settings=settings,
        seed=bout.seed,
        repetition=bout.repetition,
        emulated=bout.emulated,
    )
    tool = {"tool": f"towline {towline.__version__}"}
    try:
        return transfer(plan, watch, path) | tool
    except _CappedError as capped:
        facts = _facts(bout) | {"file_bytes": capped.last.done_bytes, "seconds": capped.last.seconds}
        return record.merge(settings.record_fields(), {}, {}, facts) | tool | {"capped": True}


def towline_settings(bout: Bout) -> Settings:
    """With what towline is run: nothing is tuned but the pace, because it must be told what others find out."""
    datapath = bout.contestant.datapath
    return bout.settings.replace(
        datapath_sender=datapath,
        datapath_receiver=datapath,
        pace=told_bps(bout.settings),
        sink="file",  # the others write one, too
    )


def told_bps(settings: Settings) -> int | None:
    """The rate that is told to whoever cannot find it out; None: the path has none."""
    rate_bps = settings.rate[0]
    return None if rate_bps is None else int(PACE_SHARE * rate_bps)


def _yardstick(bout: Bout, path: veth.Path | None) -> Record:
    from towline.lab.yardsticks import YARDSTICKS  # noqa: PLC0415

    yardstick = YARDSTICKS[bout.contestant.yardstick or ""]
    job = Job(
        source=bout.source,
        offloads=bout.contestant.offloads,
        congestion=bout.contestant.congestion,
        seed=bout.seed,
        repetition=bout.repetition,
        impairments=bout.impairments(),
        cap_s=bout.cap_s,
        rate_bps=told_bps(bout.settings) if yardstick.takes_rate else None,
    )
    found: Record = yardstick.measure(job, path)
    return found


def _failure(bout: Bout, why: str) -> Record:
    found: Record = record.merge({}, {}, {}, _facts(bout) | {"failed": why, "verified": False})
    return found


def _facts(bout: Bout) -> Record:
    """What is known of a bout that was not finished."""
    return {
        "environment": "veth",
        "seed": bout.seed,
        "repetition": bout.repetition,
        "file_bytes": bout.source.stat().st_size,
        "void": False,
        "version": towline.__version__,
        **machine.describe(),
    }
