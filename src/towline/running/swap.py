# SPDX-License-Identifier: GPL-2.0-only
"""Replace a program in mid-transfer, and take that back: one link update, whoever holds the link.

Maps, windows and bitmaps are the running program's and stay. The predecessor is kept, pinned, for as long as the link
lives, so that it can come back after the process that swapped has ended.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from towline.bpf import INCLUDE
from towline.errors import LoadError
from towline.kernel import bpffs
from towline.kernel.attached import Attached, Program
from towline.kernel.objects import xdp_links
from towline.kernel.parking import Parking
from towline.kernel.successor import PROGRAM_VERSION, prepare
from towline.running.places import Place
from towline.running.sessions import states

EFFECT_S = 1.0
_PREVIOUS = "previous"


@dataclass(frozen=True, kw_only=True)
class Swapped:
    """What a swap has done, and how long each step took (seconds). `effect_s`: from the link update to the first packet
    that the new program took of a session; None where none came within EFFECT_S."""

    place: Place
    program: int
    version: int
    before: int  # the version that was there
    sessions: tuple[int, ...]
    prepare_s: float  # compile, check, verify
    replace_s: float
    effect_s: float | None


class Swapper:
    """Replaces programs of one place, as often as you like; a context manager, for what is parked meanwhile."""

    def __init__(self, place: Place) -> None:
        """Raises LoadError where the program is gone, PermissionsError."""
        self.place = place
        self._stack = ExitStack()
        try:
            self._link = self._stack.enter_context(place.attached())
            self._parking = self._stack.enter_context(Parking())
            self._parked: set[int] = set()
        except BaseException:
            self._stack.close()
            raise

    def swap(self, source: Path, *, flags: Sequence[str] = ()) -> Swapped:
        """Compile a program and put it in place.

        Raises CompileError, LoadError and LayoutError, and then nothing has changed.
        """
        started = time.monotonic()
        with self._link.program() as running:
            with prepare(running, source, self._next_version(running), flags=(INCLUDE, *flags)) as new:
                return self.put(Program(os.dup(new.program(running.name))), running, started)

    def rollback(self) -> Swapped:
        """Put the predecessor back in place; LoadError where there is none."""
        started = time.monotonic()
        try:
            previous = Program(bpffs.open_pinned(self._pin))
        except FileNotFoundError:
            raise LoadError(f"there is no earlier program of {self.place.name} to go back to") from None
        with self._link.program() as running:
            return self.put(previous, running, started)

    def put(self, new: Program, running: Program, started: float) -> Swapped:
        """Put a loaded program in the place of the running one; closes it."""
        with new:
            for one in (running, new):
                if one.number not in self._parked:
                    self._parking.park(one.fd)
                    self._parked.add(one.number)
            before = running.constant(PROGRAM_VERSION)
            version = new.constant(PROGRAM_VERSION)
            numbers = states(running)["session"]
            touched = numbers[numbers != 0].tolist()
            replaced = time.monotonic()
            self._link.replace(new.fd)
            done = time.monotonic()
            effect = _effect(states(new), version, done) if touched else None
            self._keep(running)
            return Swapped(
                place=self.place,
                program=new.number,
                version=version,
                before=before,
                sessions=tuple(touched),
                prepare_s=replaced - started,
                replace_s=done - replaced,
                effect_s=effect,
            )

    def close(self) -> None:
        """Let go of what was parked; what is in place stays."""
        self._stack.close()

    def __enter__(self) -> Swapper:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _pin(self) -> Path:
        return _folder_of(self._link) / _PREVIOUS

    def _next_version(self, running: Program) -> int:
        """One that no session can have seen."""
        versions = [running.constant(PROGRAM_VERSION)]
        with suppress(FileNotFoundError), Program(bpffs.open_pinned(self._pin)) as previous:
            versions.append(previous.constant(PROGRAM_VERSION))
        return max(versions) + 1

    def _keep(self, running: Program) -> None:
        self._pin.parent.mkdir(mode=0o700, exist_ok=True)
        self._pin.unlink(missing_ok=True)
        bpffs.pin(running.fd, self._pin)


def _effect(seen: NDArray[Any], version: int, since: float) -> float | None:
    """When the first session was taken over."""
    while (now := time.monotonic()) < since + EFFECT_S:
        if ((seen["served_by"] == version) & (seen["session"] != 0)).any():
            return now - since
        time.sleep(20e-6)
    return None


def forget_ended() -> list[Path]:
    """Unpin what belongs to links that are no more; the folders that went."""
    alive = {str(link.number) for link in xdp_links()}
    gone = [one for one in (bpffs.folder() / "links").glob("*") if one.name not in alive]
    for one in gone:
        for pinned in one.iterdir():
            pinned.unlink(missing_ok=True)
        one.rmdir()
    return gone


def _folder_of(link: Attached) -> Path:
    links = bpffs.folder() / "links"
    links.mkdir(mode=0o700, exist_ok=True)
    return links / str(link.number)
