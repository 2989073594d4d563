# SPDX-License-Identifier: GPL-2.0-only
"""A program that stops a transfer is taken back, and told of once; whoever was quicker is left alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pyroute2 import netns

from tests.bpf.conftest import new_pair
from towline.errors import PermissionsError
from towline.kernel.attach import Link, attach
from towline.kernel.clang import compile_program
from towline.kernel.identity import Identity
from towline.kernel.netns import inside
from towline.kernel.objects import link_info, program_info
from towline.kernel.program import Object
from towline.lab import leftovers
from towline.protocol.loss import RoundTrip
from towline.protocol.sender import Acknowledged, LaneSender
from towline.protocol.trial import PATIENCE_US, Movement
from towline.settings import Settings
from towline.transfer import watchdog
from towline.transfer.events import Event, Replaced, RolledBack
from towline.transfer.send import _Sending
from towline.transfer.watchdog import LOOK_US, Watchdog

PROGRAMS = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
char _license[] SEC("license") = "GPL";
SEC("xdp") int good(struct xdp_md *ctx) { return XDP_PASS; }
SEC("xdp") int bad(struct xdp_md *ctx) { return XDP_DROP; }
SEC("xdp") int third(struct xdp_md *ctx) { return XDP_TX; }
"""
STANDS_STILL = Movement(mark=7, carried=7, window=4)


class Watched:
    """What has a program on an interface."""

    def __init__(self, link: Link, program: int) -> None:
        self.program: int | None = program
        self.identity: Identity | None = Identity(version=1, source="good", flags="")
        self.link: Link | None = link
        self.recovered = 0

    def recover(self) -> None:
        """Counts how often it was asked to."""
        self.recovered += 1


class Bench:
    """A watchdog, its clock, and the programs by name."""

    def __init__(self, link: Link, programs: Object) -> None:
        self.link = link
        self.programs = programs
        self.events: list[Event] = []
        self.watched = Watched(link, programs.program("good"))
        self.now = 0
        self.dog = Watchdog(self.watched, "receiver", self.events.append, self.now)

    def look(self, seconds: float, movement: Callable[[int], Movement] = lambda number: STANDS_STILL) -> list[Event]:
        """What is told in so many seconds; `movement`: at each look, by its number."""
        told = len(self.events)
        for number in range(round(seconds * 1e6) // LOOK_US):
            self.now += LOOK_US
            self.dog.look(movement(number), self.now)
        return self.events[told:]

    def number(self, name: str) -> int:
        """The kernel's of a program."""
        return int(program_info(self.programs.program(name)).id)

    def in_place(self) -> int:
        """Of the program that is there."""
        return int(link_info(self.link.fd).prog_id)


@pytest.fixture
def bench(namespaces: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """`good` on an interface, watched."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source = tmp_path / "programs.bpf.c"
    source.write_text(PROGRAMS)
    [name] = leftovers.namespace_names("t")
    with ExitStack() as stack:
        netns.create(name)
        stack.callback(netns.remove, name)
        programs = stack.enter_context(Object(compile_program(source)))
        programs.load()
        with inside(name):
            link = stack.enter_context(attach(programs.program("good"), new_pair(0)[0].index))
        made = Bench(link, programs)
        stack.enter_context(made.dog)
        yield made


def test_look__what_stops_a_transfer_is_taken_back_and_told_once(bench: Bench) -> None:
    bench.look(0.2)
    bench.link.replace(bench.programs.program("bad"))
    told = bench.look(5)
    assert [type(one) for one in told] == [Replaced, RolledBack]  # and nobody has replaced it since
    assert bench.in_place() == bench.number("good")
    assert bench.watched.recovered == 1
    assert isinstance(told[-1], RolledBack)
    assert (told[-1].program, told[-1].stalled_seconds) == (bench.number("good"), PATIENCE_US / 1e6)


def test_look__what_is_proven_is_what_is_gone_back_to(bench: Bench) -> None:
    bench.link.replace(bench.programs.program("third"))
    bench.look(2, lambda number: Movement(mark=number, carried=number, window=4))
    bench.link.replace(bench.programs.program("bad"))
    assert [type(one) for one in bench.look(5)] == [Replaced, RolledBack]
    assert bench.in_place() == bench.number("third")


def test_look__takes_back_what_it_may_not_look_at(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(number: int) -> int:
        raise PermissionsError(f"opening program {number}", "CAP_SYS_ADMIN")

    monkeypatch.setattr(watchdog, "open_program", forbidden)
    bench.link.replace(bench.programs.program("bad"))
    replaced, rolled_back = bench.look(5)
    assert isinstance(replaced, Replaced)
    assert isinstance(rolled_back, RolledBack)
    assert (replaced.version, rolled_back.version) == (0, 1)
    assert bench.in_place() == bench.number("good")


def overtake(bench: Bench, name: str, patch: pytest.MonkeyPatch) -> None:
    """Somebody puts that program in place whenever the watchdog is about to put one."""
    replace = bench.link.replace

    def overtaken(program: int, instead_of: int | None = None) -> bool:
        replace(bench.programs.program(name))
        return replace(program, instead_of)

    patch.setattr(bench.link, "replace", overtaken)


def test_look__takes_back_only_the_program_that_it_found_guilty(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.link.replace(bench.programs.program("bad"))
    bench.look(0.1)
    overtake(bench, "third", monkeypatch)
    told = bench.look(1.5)
    assert [type(one) for one in told] == [Replaced]
    assert isinstance(told[0], Replaced)
    assert told[0].program == bench.in_place() == bench.number("third")
    assert bench.watched.recovered == 0
    assert [type(one) for one in bench.look(5)] == [RolledBack]  # it had a trial of its own
    assert bench.in_place() == bench.number("good")


def test_look__whoever_goes_back_at_this_moment_is_told_of(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.link.replace(bench.programs.program("bad"))
    bench.look(0.1)
    overtake(bench, "good", monkeypatch)
    told = bench.look(5)
    assert [type(one) for one in told] == [Replaced]
    assert isinstance(told[0], Replaced)
    assert told[0].program == bench.in_place() == bench.number("good")


def test_close__holds_no_program(bench: Bench) -> None:
    def held() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = held()
    bench.link.replace(bench.programs.program("bad"))
    bench.look(0.1)
    bench.dog.close()
    assert held() == before - 1  # that of the program to go back to


# ---- what a sender has it watch


def test_acknowledged__ends_with_the_last_acknowledgement_and_not_with_the_last_packet() -> None:
    first, window = 5, 64
    rules = LaneSender(
        first=first,
        window=window,
        ack_every=4,
        pipelining=None,
        burst=64,
        checksum=False,
        rtt=RoundTrip.guess(1000),
        now=0,
    )
    lane: Any = SimpleNamespace(rules=rules, transmit=SimpleNamespace(slots=SimpleNamespace(window=window)))
    sending = _Sending.__new__(_Sending)  # it is asked for nothing but its lanes
    sending._lanes = {1: lane}
    sending._settings = Settings(ack_every=4)
    rules.filled(first + 10, end=first + 10)
    schedule = rules.next(0)
    assert schedule is not None
    rules.sent(schedule, len(schedule), 0, 1)
    assert rules.finished_sending
    for count in (0, 9):
        rules.acknowledged(Acknowledged(base=first + count, limit=first + window, highest=first + count), 2)
        owing = min(10 - count, 4)  # no ACK is due yet for so many
        assert sending._acknowledged() == Movement(mark=count + owing, carried=count, window=window)
    rules.acknowledged(Acknowledged(base=first + 10, limit=first + window, highest=first + 10), 3)
    assert sending._acknowledged() is None
