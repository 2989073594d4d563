# SPDX-License-Identifier: GPL-2.0-only
"""One run: the same `receive` and `send` that a user types, in an environment, measured from outside."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import towline
from towline.errors import NoReceiverError, PeerError, RunError
from towline.framing import ETHERNET
from towline.lab import leftovers, machine, record, verify
from towline.lab.children import Child, Children, Message, children, setting_arguments, towline_command
from towline.lab.environments import veth
from towline.settings import Settings
from towline.transfer import events
from towline.wire import DATA_LEAST_BYTES

READY_S = 120.0  # clang may have to compile first, on a machine that is busy
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

    @property
    def source_bytes(self) -> int:
        """How much is sent; raises FileError where the file cannot be looked at."""
        return verify.source_bytes(self.source)


def mtu_for(settings: Settings) -> int:
    """The MTU of the links in bytes: what was asked for, raised when a packet needs more."""
    return max(settings.mtu, ETHERNET.mtu_for(max(settings.payload_size or 0, DATA_LEAST_BYTES)))


def run(plan: Run, on_event: events.OnEvent) -> dict[str, Any]:
    """Carry out one run in `veth`; returns its record. `on_event` sees the sender's events.

    Raises RunError with the words of the side that failed, FileError, PermissionsError.
    """
    size_bytes = plan.source_bytes
    mtu = mtu_for(plan.settings)
    with ExitStack() as stack:
        path = stack.enter_context(veth.veth(lanes=plan.settings.lanes, mtu=mtu))
        output = plan.output
        if output is None:
            needed_bytes = size_bytes if plan.settings.sink == "file" else 0
            output = stack.enter_context(leftovers.temporary_folder(needed_bytes))
        load = machine.baseline()
        seen = _carry_out(plan, path, output, on_event)
        assert seen.begin is not None  # a sender that finished has started
        assert seen.end is not None
        facts = {
            "environment": "veth",
            "redundancy": 1,
            "mtu": mtu,
            "repetition": plan.repetition,
            "order": plan.repetition,
            "seed": plan.seed if isinstance(plan.source, int) else None,
            "file_bytes": size_bytes,
            "verified": verified(plan, seen.finished["receiver"].path),
            "version": towline.__version__,
            **machine.describe(),
            **machine.costs(seen.begin, seen.end, load),
        }
    sender, receiver = (seen.finished[side].record for side in ("sender", "receiver"))
    return record.merge(plan.settings.record_fields(), receiver, sender, facts)


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
        # The other side must find out by itself; how it ends is part of what happened.
        family.wait_until(family.all_ended, plan.settings.timeout_s + STOP_S, seen.note)
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
    return towline_command("receive", *where, *how, *setting_arguments(plan.settings, "receiver"))


def _send_command(plan: Run, path: veth.Path) -> list[str]:
    if isinstance(plan.source, int):
        what = [path.target, f"--size={plan.source}", f"--seed={plan.seed}"]
    else:
        what = [os.fspath(plan.source.absolute()), path.target]
    return towline_command("send", *what, "--insecure", "--json", *setting_arguments(plan.settings, "sender"))


def verified(plan: Run, received: str | None) -> bool:
    """Whether the received file is the source, byte for byte.

    Where nothing was written (sink memory), DONE is what there is: it covers the digest of every block,
    and without it the sender would have failed.
    """
    if plan.settings.sink == "memory":
        return True
    return received is not None and verify.same(verify.source_chunks(plan.source, plan.seed), Path(received))
