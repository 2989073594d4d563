# SPDX-License-Identifier: GPL-2.0-only
"""The program that a process has left on an interface, and the next process's, which takes its place there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from towline.bpf import INCLUDE
from towline.errors import UnsupportedError
from towline.kernel import predecessors
from towline.kernel.attach import Link
from towline.kernel.attached import Attached, Program
from towline.kernel.identity import Identity
from towline.kernel.link import Interface, xdp_mode
from towline.kernel.program import Object
from towline.kernel.successor import next_version, prepare
from towline.settings import Settings


class TakeOver:
    """Of one interface; a context manager. `notes`: what the user has to know of it."""

    def __init__(self, link: Attached, interface: Interface, settings: Settings) -> None:
        """`link` becomes this object's. Raises UnsupportedError where it runs in another mode than it is to."""
        self.notes: tuple[str, ...] = ()
        self._stack = ExitStack()
        self._link, self._interface, self._settings = self._stack.enter_context(link), interface, settings
        try:
            self._running = self._stack.enter_context(link.program())
            self._mode = xdp_mode(interface.index)
            if settings.xdp_mode not in (None, self._mode):
                raise _contradicts(f"--xdp-mode was {self._mode} and is {settings.xdp_mode}")
        except BaseException:
            self._stack.close()
            raise

    def successor(self, source: Path, constants: Mapping[str, int]) -> Object:
        """On the maps of the program that was left. Raises UnsupportedError where that has other constants."""
        for name, value in constants.items():
            if (was := self._running.constant(name)) != value:
                raise _contradicts(f"{name} was {was} and is {value}")
        before = predecessors.open_previous(self._link.number)
        with ExitStack() as stack:
            others = [] if before is None else [stack.enter_context(Program(before))]
            version = next_version(self._running, *others)
        flags = self._settings.clang_flags_receiver
        return prepare(self._running, source, version, flags=flags, include=(INCLUDE,), others=("want",))

    def hand_over(self, program: int, identity: Identity) -> Link:
        """Put the successor in place. Where what was there is no more of the same, one can go back to it.

        Raises UnsupportedError where somebody has swapped meanwhile.
        """
        left = Identity.of(self._running)
        with predecessors.keeping(self._link.number, self._running.fd) as keep:
            if not self._link.replace(program, self._running.fd):
                raise UnsupportedError("taking over what is pinned", "nobody to swap it meanwhile: start it again")
            if (left.source, left.flags) != (identity.source, identity.flags):
                keep()
                self.notes = (
                    f"{identity.source} runs instead of {' '.join((left.source, left.flags)).strip()}, which was left"
                    f" here: `towline kernel rollback {self._interface.name}` brings it back",
                )
        why = "it was begun so" if self._mode == "generic" else None
        return Link(os.dup(self._link.fd), ifindex=self._interface.index, mode=self._mode, why_not_native=why)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


def _contradicts(what: str) -> UnsupportedError:
    return UnsupportedError(
        "taking over what is pinned",
        f"the settings that it was started with ({what}); or remove it with `towline kernel clean`",
    )
