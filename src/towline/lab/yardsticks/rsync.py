# SPDX-License-Identifier: GPL-2.0-only
"""The yardstick `rsync`: a whole file sent to an rsync daemon of our own, without compression or encryption."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from towline.lab.environments import veth
from towline.lab.yardsticks import programs
from towline.lab.yardsticks.files import Files
from towline.lab.yardsticks.job import Job

PORT = 5204
# uid, gid: as root a daemon would write as nobody, into a folder that is ours.
_CONFIGURATION = """\
use chroot = no
reverse lookup = no
log file = /dev/null
[copy]
path = {folder}
read only = no
uid = {uid}
gid = {gid}
"""


def measure(job: Job, path: veth.Path | None = None) -> dict[str, Any]:
    """Carry out a job: no comparison with what is there (--whole-file), written in place and synced.

    Raises what `programs.measure` raises.
    """
    tool = f"{programs.version('rsync', '--version')}, a daemon, --whole-file --inplace --fsync"
    return programs.measure("rsync", job, path, tool=tool, prepare=_prepare)


def _prepare(folder: Path, copied: Files, address: str) -> programs.Programs:
    configuration = folder / "rsyncd.conf"
    configuration.write_text(_CONFIGURATION.format(folder=copied.copy.parent, uid=os.getuid(), gid=os.getgid()))
    listen = (f"--config={configuration}", f"--address={address}", f"--port={PORT}")
    how = ("--whole-file", "--inplace", "--no-compress", "--fsync")
    return programs.Programs(
        server=("rsync", "--daemon", "--no-detach", *listen),
        client=("rsync", *how, "--", str(copied.source), f"rsync://{address}:{PORT}/copy/{copied.copy.name}"),
        port=PORT,
    )
