# SPDX-License-Identifier: GPL-2.0-only
"""The yardstick `tcp`: a file copied to a file over one TCP connection, by sendfile, compared afterwards."""

from __future__ import annotations

import platform
from typing import Any

from towline.lab.environments import veth
from towline.lab.yardsticks import two_ends
from towline.lab.yardsticks.job import Job

PORT = 5202


def measure(job: Job, path: veth.Path | None = None) -> dict[str, Any]:
    """Carry out a job; random bytes are written to a file first, the copy is removed when it was compared.

    Raises RunError with the words of the side that failed, FileError, PermissionsError, UnsupportedError, and
    SettingsError for a job that stops by the clock (a part of a file is no file).
    """
    tool = f"Python {platform.python_version()}, sendfile and splice"
    return two_ends.measure("tcp", job, path, module="towline.lab.yardsticks.tcp_ends", tool=tool, port=PORT)
