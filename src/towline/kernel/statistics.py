# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's own count of what BPF programs take: on while somebody holds it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from towline.errors import PermissionsError, UnsupportedError
from towline.kernel.libbpf import library, refusal

BPF_STATS_RUN_TIME = 0  # <linux/bpf.h>


@contextmanager
def statistics() -> Iterator[None]:
    """Count runs and time of all BPF programs of the machine; it costs each run of each two looks at the clock.

    Raises PermissionsError, and UnsupportedError where the kernel has no such count.
    """
    fd = library().bpf_enable_stats(BPF_STATS_RUN_TIME)
    if fd < 0:
        error = refusal(fd, "counting the time of BPF programs")
        if isinstance(error, PermissionError):
            raise PermissionsError("counting the time of BPF programs", "CAP_SYS_ADMIN")
        raise UnsupportedError("program statistics", f"a kernel that counts them; {error.strerror}")
    try:
        yield
    finally:
        os.close(fd)
