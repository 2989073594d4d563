# SPDX-License-Identifier: GPL-2.0-only
"""The path of a job: made for it, or given, and the same for every yardstick."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from towline.errors import SettingsError
from towline.lab.emulator.impairments import Impairments, Report
from towline.lab.environments import veth
from towline.lab.yardsticks.job import Job

# The kernel remembers the slow-start threshold of each peer: a run would begin with what the one before has learnt.
_FORGET = "echo 1 > /proc/sys/net/ipv4/tcp_no_metrics_save"


@dataclass(frozen=True, kw_only=True)
class Wire:
    """A path and what had crossed it before."""

    path: veth.Path
    frames_before: int

    def frames_sent(self) -> int:
        """Frames that have left the sender's interface since."""
        return self.path.sender.frames_sent() - self.frames_before

    def emulated(self) -> Report | None:
        """What the emulator did, where there is one."""
        return self.path.emulator.report() if self.path.emulator else None


@contextmanager
def wire(job: Job, path: veth.Path | None = None) -> Iterator[Wire]:
    """A job's path. A given one stays as it is, but for its emulator's impairments and the two routes over it.

    Raises SettingsError for impairments on a path without emulator, and for a congestion control that the kernel has
    not; otherwise what `veth` raises.
    """
    with ExitStack() as stack:
        if path is None:
            path = stack.enter_context(
                veth.veth(mtu=job.mtu, addressed=True, offloads=job.offloads, impairments=job.impairments)
            )
        elif path.emulator is not None:
            path.emulator.set(job.impairments or Impairments())
        elif job.impairments is not None:
            raise SettingsError("this path has no emulator, so it cannot be impaired: make it with impairments")
        _choose_tcp(path.sender, path.receiver, job.congestion)
        _choose_tcp(path.receiver, path.sender, job.congestion)
        yield Wire(path=path, frames_before=path.sender.frames_sent())


def _choose_tcp(end: veth.End, peer: veth.End, congestion: str) -> None:
    """For programs that cannot be told: the route to the peer says it.

    The namespace's sysctl would not do: it takes only what the machine's own namespace allows to everybody.
    """
    route = ("ip", "route", "replace", f"{peer.address}/32", "dev", end.interface, "src", str(end.address))
    done = subprocess.run(
        end.command("sh", "-c", f'{_FORGET}; exec "$@"', "sh", *route, "congctl", congestion),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SettingsError(
            f"TCP with the congestion control {congestion!r} is not to be had here ({done.stderr.strip()}); "
            "`sysctl net.ipv4.tcp_available_congestion_control` shows what is"
        )
