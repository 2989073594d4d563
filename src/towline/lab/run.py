# SPDX-License-Identifier: GPL-2.0-only
"""One run: the same `receive` and `send` that a user types, in an environment, measured from outside."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import towline
from towline.errors import CompileError, RunError
from towline.framing import ETHERNET, LEVELS, Level
from towline.kernel.statistics import statistics
from towline.lab import leftovers, machine, record, sides, verify
from towline.lab.accounting import violations
from towline.lab.children import setting_arguments, towline_command
from towline.lab.emulator.impairments import Impairment, Impairments, measured_fields, record_fields, void_reason
from towline.lab.environments import veth
from towline.lab.swaps import Swaps
from towline.parameter import Side
from towline.quantities import DIRECTIONS
from towline.settings import Settings, parse_swap
from towline.transfer import events
from towline.wire import DATA_LEAST_BYTES

IPV6_LEAST_MTU = 1280
SHORTEST_S = 0.5  # a shorter run shows how a transfer begins and ends, not what it reaches
ROUND_TRIPS_LEAST = 20
OVERRUN_SHARE = 0.0005  # of the frames: half of the smallest loss that anybody asks for


@dataclass(frozen=True, kw_only=True)
class Run:
    """What to do: one transfer. `source` is a file, or how many random bytes (made from `seed`).

    `emulated`: the emulator stands in the path even where it has nothing to do, as it does in the runs that this one is
    compared with. `statistics`: the kernel measures the programs' time, which costs some nanoseconds a frame.
    """

    source: Path | int
    settings: Settings
    seed: int = 0
    repetition: int = 0
    output: Path | None = None
    overwrite: bool = False
    capture: Path | None = None
    emulated: bool = False
    statistics: bool = False

    @property
    def source_bytes(self) -> int:
        """How much is sent; raises FileError where the file cannot be looked at."""
        return verify.source_bytes(self.source)


def level_of(settings: Settings) -> Level:
    """The level of a run: the laboratory's default is `ethernet`."""
    return LEVELS[settings.level or ETHERNET.name]


def mtu_for(settings: Settings) -> int:
    """The MTU of the links in bytes: what was asked for, raised when a packet needs more, or IPv6 (RFC 8200)."""
    level = level_of(settings)
    least = level.mtu_for(max(settings.payload_size or 0, DATA_LEAST_BYTES))
    return max(settings.mtu, least, IPV6_LEAST_MTU if level.family == socket.AF_INET6 else 0)


def impairments_of(plan: Run) -> Impairments | None:
    """What the path does to frames; None: nothing, there is no emulator in it."""
    fields = {"delay": "delay_us", "jitter": "jitter_us", "rate": "rate_bps", "queue": "queue_bytes"}
    names = ("delay", "jitter", "rate", "queue", "loss", "loss_burst", "corrupt", "duplicate", "reorder")
    if all(getattr(plan.settings, name) == getattr(Settings(), name) for name in names):
        return None
    forward, backward = (
        Impairment(**{fields.get(name, name): getattr(plan.settings, name)[way] for name in names}) for way in (0, 1)
    )
    return Impairments(forward=forward, backward=backward, seed=plan.seed)


def run(plan: Run, on_event: events.OnEvent, path: veth.Path | None = None) -> dict[str, Any]:
    """Carry out one run in `veth`; returns its record. `on_event` sees the sender's events, and both sides' samples.

    With a `path` nothing is made or removed, and its emulator, where it has one, begins anew with this run's
    impairments. A program that the compiler or the kernel refuses, where its flags were asked for, is a result:
    `refused` in the record. Raises RunError with the words of the side that failed, FileError, PermissionsError.
    """
    try:
        return _run(plan, on_event, path)
    except RunError as error:
        if error.exit_code != CompileError.exit_code or not getattr(plan.settings, f"clang_flags_{error.side}", ()):
            raise
        facts = {**_facts(plan, mtu_for(plan.settings)), **machine.describe()}
        return record.merge(plan.settings.record_fields(), {}, {}, facts | {"refused": f"{error.side}: {error.what}"})


def _facts(plan: Run, mtu: int) -> dict[str, Any]:
    """What is known of a run beforehand."""
    return {
        "environment": "veth",
        "level": level_of(plan.settings).name,
        "mtu": mtu,
        "repetition": plan.repetition,
        "order": plan.repetition,
        "seed": plan.seed,
        "file_bytes": plan.source_bytes,
        "version": towline.__version__,
    }


def _run(plan: Run, on_event: events.OnEvent, given: veth.Path | None) -> dict[str, Any]:
    size_bytes = plan.source_bytes
    with ExitStack() as stack:
        if plan.statistics:
            stack.enter_context(statistics())
        path = stack.enter_context(_new_path(plan)) if given is None else _anew(given, plan)
        output = plan.output
        if output is None:
            needed_bytes = size_bytes if plan.settings.sink == "file" else 0
            output = stack.enter_context(leftovers.temporary_folder(needed_bytes))
        load = machine.baseline()
        before = _frames(path)
        commands = (_receive_command(plan, path, output), _send_command(plan, path))
        where = path.receiver.place
        swaps = Swaps(where, [parse_swap(moment) for moment in plan.settings.swap])
        try:
            seen = sides.carry_out(*commands, plan.settings.timeout_s, on_event, swaps)
        finally:
            swapped = swaps.end()
        frames = {name: after - before[name] for name, after in _frames(path).items()}
        facts = {
            **_facts(plan, path.mtu),
            "verified": verified(plan, seen.finished["receiver"].path),
            **machine.describe(),
            **machine.costs(seen.begin, seen.end, load),
            **frames,
            **swapped,
            **_impaired(path, frames),
        }
    sender, receiver = (seen.finished[side].record for side in ("sender", "receiver"))
    merged = record.merge(plan.settings.record_fields(), receiver, sender, facts)
    return merged | {"short": _short(merged), "accounting": "; ".join(violations(merged)) or None}


def _new_path(plan: Run) -> AbstractContextManager[veth.Path]:
    return veth.veth(
        lanes=plan.settings.lanes,
        mtu=mtu_for(plan.settings),
        gro="socket" in (plan.settings.datapath_sender, plan.settings.datapath_receiver),
        impairments=impairments_of(plan) or (Impairments(seed=plan.seed) if plan.emulated else None),
        capture=plan.capture,
        clang_flags=plan.settings.clang_flags_emulator,
    )


def _anew(path: veth.Path, plan: Run) -> veth.Path:
    """A path that others have used; its emulator forgets what it did for them."""
    if path.emulator is not None:
        path.emulator.set(impairments_of(plan) or Impairments(seed=plan.seed))
    return path


def _frames(path: veth.Path) -> dict[str, int]:
    """What has left the two ends so far, and what they dropped, by the interfaces' own counters."""
    counted: dict[str, int] = {}
    for direction, end in zip(DIRECTIONS, (path.sender, path.receiver), strict=True):
        counted[f"frames_{direction}"], counted[f"dropped_{direction}"] = end.frames_out()
    return counted


def _short(record: Mapping[str, Any]) -> str | None:
    """Why a run is too short to say what such a transfer reaches; None: it is not."""
    seconds, rtt_us = record["seconds"], record["rtt_us_p50"]
    if seconds is None:
        return None
    if seconds < SHORTEST_S:
        return f"{seconds:.2f} s: shorter than {SHORTEST_S:g} s"
    if rtt_us and seconds * 1e6 / rtt_us < ROUND_TRIPS_LEAST:
        return f"{seconds * 1e6 / rtt_us:.0f} round trips: fewer than {ROUND_TRIPS_LEAST}"
    return None


def _impaired(path: veth.Path, frames: Mapping[str, int]) -> dict[str, Any]:
    """What the emulator did, and whether that, or what was lost on the way to it, makes the run void."""
    if path.emulator is None:
        return {}
    asked, report = path.emulator.impairments, path.emulator.report()
    reason = void_reason(asked, report) or _overrun(frames)
    fields = record_fields(asked) | measured_fields(report) | report.program
    return fields | ({"void": True, "void_reason": reason} if reason else {})


def _overrun(frames: Mapping[str, int]) -> str | None:
    """Why nobody knows what the path lost; None: the emulator had the frames that were sent."""
    for direction in DIRECTIONS:
        sent, dropped = (frames[f"{what}_{direction}"] for what in ("frames", "dropped"))
        if dropped > OVERRUN_SHARE * sent:
            return f"{dropped} frames found the queue to the emulator full, {direction}"
    return None


def _receive_command(plan: Run, path: veth.Path, output: Path) -> list[str]:
    where = [f"--interface={path.receiver.interface}", f"--output={output.absolute()}"]
    how = ["--insecure", "--json", *(["--overwrite"] if plan.overwrite else [])]
    return path.receiver.command(*towline_command("receive", *where, *how, *_settings_of(plan, "receiver")))


def _send_command(plan: Run, path: veth.Path) -> list[str]:
    target = target_of(path, level_of(plan.settings))
    if isinstance(plan.source, int):
        what = [target, f"--size={plan.source}", f"--seed={plan.seed}"]
    else:
        what = [os.fspath(plan.source.absolute()), target]
    command = towline_command("send", *what, "--insecure", "--json", *_settings_of(plan, "sender"))
    return path.sender.command(*command)


def target_of(path: veth.Path, level: Level) -> str:
    """What the sender types to reach the receiver at a level."""
    hosts: dict[int, str | None] = {socket.AF_INET6: path.receiver.address6, socket.AF_INET: path.receiver.address}
    return hosts.get(level.family) or path.target


def _settings_of(plan: Run, side: Side) -> list[str]:
    return setting_arguments(plan.settings.replace(level=level_of(plan.settings).name), side)


def verified(plan: Run, received: str | None) -> bool:
    """Whether the received file is the source, byte for byte.

    Where nothing was written (sink memory), DONE is what there is: it covers the digest of every block,
    and without it the sender would have failed.
    """
    if plan.settings.sink == "memory":
        return True
    return received is not None and verify.same(verify.source_chunks(plan.source, plan.seed), Path(received))
