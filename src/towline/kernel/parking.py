# SPDX-License-Identifier: GPL-2.0-only
"""Where programs wait for their turn, so that a swap takes microseconds.

The kernel calls XDP programs through a dispatcher (kernel/bpf/dispatcher.c), which is written anew whenever a program
is attached for the first time or detached for the last; that waits for RCU, for milliseconds. A program that is
attached somewhere else as well is in it already.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from pyroute2 import IPRoute

from towline.kernel.attach import attach
from towline.kernel.netns import inside, unseen

FIRST_INDEX = 1 << 30  # no other interface comes so far: who looks at links tells those that are parked by it


class Parking:
    """Interfaces in a network namespace that nobody sees, each of which holds one program."""

    def __init__(self) -> None:
        """Raises PermissionsError."""
        self._stack = ExitStack()
        fd = unseen()
        self._stack.callback(os.close, fd)
        self._namespace = Path(f"/proc/self/fd/{fd}")
        self._index = FIRST_INDEX

    def park(self, program_fd: int) -> Callable[[], None]:
        """Attach a program; it stays until what this returns is called, or `close`."""
        index, self._index = self._index, self._index + 1
        place = self._stack.enter_context(ExitStack())
        with inside(self._namespace):
            with IPRoute() as route:
                route.link("add", ifname=f"park{index}", index=index, kind="veth", peer={"ifname": "peer%d"})
            place.callback(self._remove, index)
            place.enter_context(attach(program_fd, index))
        return place.close

    def _remove(self, index: int) -> None:
        with inside(self._namespace), IPRoute() as route:
            route.link("del", index=index)

    def close(self) -> None:
        """Let all of them go; those that are attached elsewhere run on."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
