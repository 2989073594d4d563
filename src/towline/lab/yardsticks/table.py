# SPDX-License-Identifier: GPL-2.0-only
"""The yardsticks by name, and for each what it needs of a machine."""

from __future__ import annotations

import importlib.util
import platform
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from towline.errors import UnsupportedError
from towline.lab.environments import veth
from towline.lab.yardsticks import iperf3, quic, rsync, scp, tcp, udp
from towline.lab.yardsticks.job import Job

_PICOQUIC_PYTHON = (3, 12)


@dataclass(frozen=True, kw_only=True)
class Yardstick:
    """One way to move the same bytes.

    `takes_rate`: it has to be told how fast to send (Job.rate_bps). `measure` carries out a job, over a given path or
    one made for it, and returns the record. `missing`: what it needs that is not there, and how to get it, in one
    sentence; None: it can be used.
    """

    name: str
    label: str
    delivers_file: bool = True
    takes_rate: bool = False
    measure: Callable[[Job, veth.Path | None], dict[str, Any]]
    missing: Callable[[], str | None]


def _nothing() -> str | None:
    return None


def _program(name: str, package: str) -> Callable[[], str | None]:
    """A check for a program, on PATH or at its place."""

    def missing() -> str | None:
        if shutil.which(name) or Path(name).is_file():
            return None
        return f"{Path(name).name} is not installed (make yardsticks, or Debian: apt install {package})"

    return missing


def _scp_missing() -> str | None:
    parts = (("scp", "openssh-client"), ("ssh-keygen", "openssh-client"), (scp.SERVER, "openssh-server"))
    return next((reason for part in parts if (reason := _program(*part)())), None)


def _aioquic_missing() -> str | None:
    if importlib.util.find_spec("aioquic"):
        return None
    return "the Python package aioquic is not installed (make yardsticks, or pip install 'towline[yardsticks]')"


def _picoquic_missing() -> str | None:
    if sys.version_info < _PICOQUIC_PYTHON:
        return f"aiopquic, which wraps picoquic, needs Python 3.12 or newer, and this is {platform.python_version()}"
    return "towline has no adapter for aiopquic: none was written, because none could be tried (it needs Python 3.12)"


def _no_picoquic(_job: Job, _path: veth.Path | None = None) -> dict[str, Any]:
    raise UnsupportedError("the yardstick quic-picoquic", f"what is not there: {_picoquic_missing()}")


YARDSTICKS: Mapping[str, Yardstick] = {
    one.name: one
    for one in (
        Yardstick(name="tcp", label="TCP", measure=tcp.measure, missing=_nothing),
        Yardstick(name="udp", label="UDP", delivers_file=False, takes_rate=True, measure=udp.measure, missing=_nothing),
        Yardstick(name="quic-aioquic", label="QUIC (aioquic)", measure=quic.measure, missing=_aioquic_missing),
        Yardstick(name="quic-picoquic", label="QUIC (picoquic)", measure=_no_picoquic, missing=_picoquic_missing),
        Yardstick(name="rsync", label="rsync", measure=rsync.measure, missing=_program("rsync", "rsync")),
        Yardstick(name="scp", label="scp", measure=scp.measure, missing=_scp_missing),
        Yardstick(
            name="iperf3",
            label="iperf3 (TCP)",
            delivers_file=False,
            measure=iperf3.measure,
            missing=_program("iperf3", "iperf3"),
        ),
    )
}
