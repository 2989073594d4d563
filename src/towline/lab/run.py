# SPDX-License-Identifier: GPL-2.0-only
"""One run: the same `receive` and `send` that a user types, in an environment, measured from outside."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import towline
from towline.errors import CompileError, NoReceiverError, PeerError, RunError
from towline.framing import ETHERNET, LEVELS, Level
from towline.lab import leftovers, machine, record, verify
from towline.lab.children import Child, Children, Message, children, setting_arguments, towline_command
from towline.lab.environments import veth
from towline.lab.impairments import Impairment, Impairments, measured_fields, record_fields, void_reason
from towline.parameter import Side
from towline.settings import Settings
from towline.transfer import events
from towline.wire import DATA_LEAST_BYTES

IPV6_LEAST_MTU = 1280
READY_S = 120.0  # clang may have to compile first, on a machine that is busy
NOT_BEGUN_S = 1.0  # for a receiver to say why it let nobody begin
STOP_S = 5.0  # after the protocol's own time-out, to clean up

# A side that ends with one of these tells of the other's trouble, not of its own.
_SECOND_HAND = (PeerError.exit_code, NoReceiverError.exit_code)


@dataclass(frozen=True, kw_only=True)
class Run:
    """What to do: one transfer. `source` is a file, or how many random bytes (made from `seed`)."""

    source: Path | int
    settings: Settings
    seed: int = 0
    repetition: int = 0
    output: Path | None = None
    overwrite: bool = False
    capture: Path | None = None

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


def run(plan: Run, on_event: events.OnEvent) -> dict[str, Any]:
    """Carry out one run in `veth`; returns its record. `on_event` sees the sender's events.

    A program that the compiler or the kernel refuses, where its flags were asked for, is a result: `refused` in the
    record. Raises RunError with the words of the side that failed, FileError, PermissionsError.
    """
    try:
        return _run(plan, on_event)
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


def _run(plan: Run, on_event: events.OnEvent) -> dict[str, Any]:
    size_bytes = plan.source_bytes
    mtu = mtu_for(plan.settings)
    with ExitStack() as stack:
        path = stack.enter_context(
            veth.veth(
                lanes=plan.settings.lanes,
                mtu=mtu,
                gro="socket" in (plan.settings.datapath_sender, plan.settings.datapath_receiver),
                impairments=impairments_of(plan),
                capture=plan.capture,
                clang_flags=plan.settings.clang_flags_emulator,
            )
        )
        output = plan.output
        if output is None:
            needed_bytes = size_bytes if plan.settings.sink == "file" else 0
            output = stack.enter_context(leftovers.temporary_folder(needed_bytes))
        load = machine.baseline()
        seen = _carry_out(plan, path, output, on_event)
        assert seen.begin is not None  # a sender that finished has started
        assert seen.end is not None
        facts = {
            **_facts(plan, mtu),
            "verified": verified(plan, seen.finished["receiver"].path),
            **machine.describe(),
            **machine.costs(seen.begin, seen.end, load),
            **_impaired(path),
        }
    sender, receiver = (seen.finished[side].record for side in ("sender", "receiver"))
    return record.merge(plan.settings.record_fields(), receiver, sender, facts)


def _impaired(path: veth.Path) -> dict[str, Any]:
    """What the emulator did, and whether that makes the run void."""
    if path.emulator is None:
        return {}
    asked, report = path.emulator.impairments, path.emulator.report()
    reason = void_reason(asked, report)
    fields = record_fields(asked) | measured_fields(report)
    return fields | ({"void": True, "void_reason": reason} if reason else {})


@dataclass
class _Seen:
    """What was seen of a run: results by side, and the machine's CPU time at its begin and end."""

    on_event: events.OnEvent
    ready: bool = False
    finished: dict[str, events.Finished] = field(default_factory=dict)
    begin: machine.CpuTime | None = None
    end: machine.CpuTime | None = None

    def note(self, child: Child, event: Message) -> None:
        match event:
            case events.Ready():
                self.ready = True
            case events.Started() if child.side == "sender":
                self.begin = machine.cpu_time()
            case events.Finished():
                self.finished[child.side] = event
                if child.side == "sender":
                    self.end = machine.cpu_time()
            case _:
                pass
        if child.side == "sender":
            self.on_event(event)


def _carry_out(plan: Run, path: veth.Path, output: Path, on_event: events.OnEvent) -> _Seen:
    seen = _Seen(on_event=on_event)
    with children() as family:
        receiver = family.start("receiver", path.receiver.command(*_receive_command(plan, path, output)))
        family.wait_until(lambda: seen.ready or family.all_ended(), READY_S, seen.note)
        if not seen.ready:
            raise receiver.error() if receiver.ended else RunError("receiver", f"not ready in {READY_S:g} s")
        family.start("sender", path.sender.command(*_send_command(plan, path)))
        family.wait_until(lambda: family.all_ended() or bool(family.failed()), None, seen.note)
        # The other side must find out by itself; how it ends is part of what happened. It knows of nothing before.
        patience_s = plan.settings.timeout_s + STOP_S if seen.begin is not None else NOT_BEGUN_S
        family.wait_until(family.all_ended, patience_s, seen.note)
        _complain(family, seen)
    return seen


def _complain(family: Children, seen: _Seen) -> None:
    failed = family.failed()
    first_hand = [child for child in failed if child.process.returncode not in _SECOND_HAND]
    for child in first_hand or failed:
        raise child.error()
    for child in family.all:
        if child.side not in seen.finished:
            raise RunError(child.side, "it told no result")


def _receive_command(plan: Run, path: veth.Path, output: Path) -> list[str]:
    where = [f"--interface={path.receiver.interface}", f"--output={output.absolute()}"]
    how = ["--insecure", "--json", *(["--overwrite"] if plan.overwrite else [])]
    return towline_command("receive", *where, *how, *_settings_of(plan, "receiver"))


def _send_command(plan: Run, path: veth.Path) -> list[str]:
    target = target_of(path, level_of(plan.settings))
    if isinstance(plan.source, int):
        what = [target, f"--size={plan.source}", f"--seed={plan.seed}"]
    else:
        what = [os.fspath(plan.source.absolute()), target]
    return towline_command("send", *what, "--insecure", "--json", *_settings_of(plan, "sender"))


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
