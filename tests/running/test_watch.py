# SPDX-License-Identifier: GPL-2.0-only
"""What is saved runs at once; what it did to the rate, and what became of it, is told when it is known."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from tests.running.test_rates import PAYLOAD, look
from towline.errors import CompileError, EndedError
from towline.running.places import Place
from towline.running.sessions import Session
from towline.running.swap import Swapped
from towline.running.watch import Displaced, Event, Measured, Refused, Watch

LISTEN_S, SWAP_S, TURN_S = 1.0, 0.5, 1 / 16  # sums of these are exact
PLACE = Place(namespace="", interface="tl0", mode="native", link=1, program=1, role="receiver")
FLAGS = ("-DN=1",)


class World:
    """A transfer whose program of version N carries N Gbit/s, and its swapper, which takes SWAP_S."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.now = 100.0
        self.running_version = self._newest = 1
        self.fails: Exception | None = None
        self._packets = 0.0
        self._saved = 0
        self.save()
        self.watch = Watch(cast(Any, self), file, flags=FLAGS, listen_s=LISTEN_S, clock=lambda: self.now)

    def save(self) -> None:
        self._saved += 1
        self.file.touch()
        os.utime(self.file, ns=(self._saved, self._saved))

    def looks(self, seconds: float = TURN_S) -> list[Event]:
        """What is told after some time of looking."""
        told: list[Event] = []
        for _ in range(round(seconds / TURN_S)):
            self._passes(TURN_S)
            told += self.watch.look()
        return told

    def sessions(self) -> list[Session]:
        return [look(round(self._packets))]

    def swap(self, source: Path, *, flags: Sequence[str]) -> Swapped:
        assert (source, flags) == (self.file, FLAGS)
        if self.fails:
            raise self.fails
        before = self.running_version
        self._passes(SWAP_S)
        self.running_version = self._newest = self._newest + 1
        return Swapped(
            place=PLACE,
            program=self._newest,
            version=self._newest,
            before=before,
            sessions=(1,),
            prepare_s=SWAP_S,
            replace_s=0.0,
            effect_s=0.0,
        )

    def _passes(self, seconds: float) -> None:
        self.now += seconds
        self._packets += seconds * self.running_version * 1e9 / 8 / PAYLOAD


@pytest.fixture
def world(tmp_path: Path) -> World:
    """It has a file from the beginning."""
    return World(tmp_path / "mine.bpf.c")


@pytest.fixture
def begun(world: World) -> World:
    """Version 2 runs, and that is told."""
    assert len(world.looks(2 * LISTEN_S)) == 2
    return world


def versions(told: Sequence[Event]) -> list[tuple[int, int]]:
    """Of swaps, each with the one before."""
    assert all(isinstance(one, Swapped) for one in told), told
    return [(one.before, one.version) for one in told if isinstance(one, Swapped)]


def test_look__what_stands_there_runs_when_the_rate_before_is_known(world: World) -> None:
    assert world.looks(LISTEN_S - TURN_S) == []
    told = world.looks()
    assert versions(told) == [(1, 2)]
    assert world.looks(LISTEN_S - TURN_S) == []
    [measured] = world.looks()
    assert isinstance(measured, Measured)
    assert measured.swapped is told[0]
    assert measured.gbps_before == pytest.approx(1, abs=1e-3)
    assert measured.gbps_after == pytest.approx(2, abs=1e-3)  # and nothing of the time that the swap took
    assert world.looks(10 * LISTEN_S) == []


def test_look__does_nothing_until_the_file_is_saved(begun: World) -> None:
    begun.file.unlink()
    assert begun.looks(LISTEN_S) == []
    begun.save()
    assert versions(begun.looks()) == [(2, 3)]


def test_look__what_is_saved_meanwhile_runs_at_once(begun: World) -> None:
    begun.save()
    assert versions(begun.looks()) == [(2, 3)]
    begun.looks(2 * TURN_S)
    begun.save()
    measured, *swapped = begun.looks()
    assert isinstance(measured, Measured)
    assert measured.swapped.version == 3
    assert measured.gbps_after == pytest.approx(3, abs=1e-3)
    assert versions(swapped) == [(3, 4)]


def test_look__the_next_save_may_do_better(begun: World) -> None:
    begun.fails = CompileError("a semicolon is missing")
    begun.save()
    assert begun.looks() == [Refused(error=str(begun.fails))]
    assert begun.looks(LISTEN_S) == []
    begun.fails = None
    begun.save()
    assert versions(begun.looks()) == [(2, 3)]


def test_look__of_what_runs_no_more_no_rate_is_told(begun: World) -> None:
    begun.save()
    begun.looks()
    begun.running_version = 1
    assert begun.looks() == [Displaced(version=1, instead_of=3)]
    assert begun.looks(2 * LISTEN_S) == []
    begun.save()
    assert versions(begun.looks()) == [(1, 4)]


def test_look__what_is_known_is_told_before_the_end(begun: World) -> None:
    begun.save()
    begun.looks()
    begun.fails = EndedError("the program")
    begun.save()
    told = begun.watch.look()
    assert isinstance(next(told), Measured)
    with pytest.raises(EndedError):
        next(told)
