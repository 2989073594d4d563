# SPDX-License-Identifier: GPL-2.0-only
"""The two sides of a run at work: a receiver, then a sender, and what is seen of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from towline.errors import NoReceiverError, PeerError, RunError
from towline.lab import machine
from towline.lab.children import Child, Children, children
from towline.lab.swaps import Swaps
from towline.transfer import events
from towline.transfer.events import AnyEvent

READY_S = 120.0  # clang may have to compile first, on a machine that is busy
NOT_BEGUN_S = 1.0  # for a receiver to say why it let nobody begin
STOP_S = 5.0  # after the protocol's own time-out, to clean up

# A side that ends with one of these tells of the other's trouble, not of its own.
_SECOND_HAND = (PeerError.exit_code, NoReceiverError.exit_code)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Results by side, and the machine's CPU time at the transfer's begin and end."""

    finished: dict[str, events.Finished]
    begin: machine.CpuTime
    end: machine.CpuTime


def carry_out(receive: list[str], send: list[str], timeout_s: float, on_event: events.OnEvent, swaps: Swaps) -> Seen:
    """Run the two commands. `timeout_s`: after that the protocol itself gives up.

    `on_event` sees the sender's events, and both sides' samples and swaps. Raises RunError, with the words of the
    side that failed.
    """
    watch = _Watch(on_event, swaps)
    with children() as family:
        receiver = family.start("receiver", receive)
        family.wait_until(lambda: watch.ready or family.all_ended(), READY_S, watch.note)
        if not watch.ready:
            raise receiver.error() if receiver.ended else RunError("receiver", f"not ready in {READY_S:g} s")
        swaps.prepare()
        family.start("sender", send)
        family.wait_until(lambda: family.all_ended() or bool(family.failed()), None, watch.note)
        # The other side must find out by itself; how it ends is part of what happened. It knows of nothing before.
        patience_s = timeout_s + STOP_S if watch.begin is not None else NOT_BEGUN_S
        family.wait_until(family.all_ended, patience_s, watch.note)
        _complain(family, watch)
    assert watch.begin is not None  # a sender that finished has started
    assert watch.end is not None
    return Seen(finished=watch.finished, begin=watch.begin, end=watch.end)


@dataclass
class _Watch:
    on_event: events.OnEvent
    swaps: Swaps
    ready: bool = False
    finished: dict[str, events.Finished] = field(default_factory=dict)
    begin: machine.CpuTime | None = None
    end: machine.CpuTime | None = None

    def note(self, child: Child, event: AnyEvent) -> None:
        match event:
            case events.Ready():
                self.ready = True
            case events.Started() if child.side == "sender":
                self.begin = machine.cpu_time()
                self.swaps.begin()
            case events.Finished():
                self.finished[child.side] = event
                if child.side == "sender":
                    self.end = machine.cpu_time()
            case events.Parted():
                before = self.finished[child.side]
                self.finished[child.side] = events.Finished(
                    name=before.name, path=before.path, record=before.record | event.record
                )
            case _:
                pass
        if child.side == "sender" or isinstance(event, events.Sample | events.Replaced | events.RolledBack):
            self.on_event(event)


def _complain(family: Children, watch: _Watch) -> None:
    failed = family.failed()
    first_hand = [child for child in failed if child.process.returncode not in _SECOND_HAND]
    for child in first_hand or failed:
        raise child.error()
    for child in family.all:
        if child.side not in watch.finished:
            raise RunError(child.side, "it told no result")
