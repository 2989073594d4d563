# SPDX-License-Identifier: GPL-2.0-only
"""Going into a network namespace and coming back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from pyroute2 import netns


@contextmanager
def inside(name: str) -> Iterator[None]:
    """This thread in a namespace for a while: a program is attached there, and may be run from anywhere."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    netns.setns(name)
    try:
        yield
    finally:
        netns.setns(home)
        os.close(home)
