# SPDX-License-Identifier: GPL-2.0-only
"""The yardstick `scp`: a file sent to an OpenSSH server of our own, with keys made for this one copy."""

from __future__ import annotations

import getpass
import subprocess
from pathlib import Path
from typing import Any

from towline.errors import RunError
from towline.lab.environments import veth
from towline.lab.yardsticks import programs
from towline.lab.yardsticks.files import Files
from towline.lab.yardsticks.job import Job

PORT = 5205
SERVER = "/usr/sbin/sshd"  # it insists on being started by its whole name
_SHADOW = Path("/etc/shadow")
_SERVER_CONFIGURATION = """\
ListenAddress {address}
Port {port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
PidFile none
PermitRootLogin prohibit-password
AuthenticationMethods publickey
StrictModes no
UsePAM {pam}
UseDNS no
Subsystem sftp internal-sftp
"""
# Nothing of the user's or the machine's: no configuration, no agent, no known hosts.
_CLIENT_OPTIONS = (
    "BatchMode=yes",
    "GlobalKnownHostsFile=none",
    "IdentitiesOnly=yes",
    "IdentityAgent=none",
    "StrictHostKeyChecking=yes",
)
# sshd wants /run/sshd, which its service makes: ours stands in a /run that only this process sees (`ip netns exec`
# has given it its own mounts) and that goes with it.
_SERVE = 'mount -t tmpfs -o mode=755 towline /run && mkdir -m 755 /run/sshd && exec "$0" "$@"'


def measure(job: Job, path: veth.Path | None = None) -> dict[str, Any]:
    """Carry out a job: scp's defaults for cipher, compression and protocol; scp does not sync.

    Raises what `programs.measure` raises.
    """
    tool = f"{programs.version('ssh', '-V').partition(',')[0]}, scp"
    return programs.measure("scp", job, path, tool=tool, prepare=_prepare)


def _prepare(folder: Path, copied: Files, address: str) -> programs.Programs:
    for name in ("host", "user"):
        _make_key(folder / name)
    (folder / "known").write_text(f"[{address}]:{PORT} {(folder / 'host.pub').read_text()}")
    user = getpass.getuser()
    pam = "yes" if locked(user) else "no"
    configuration = folder / "sshd_config"
    configuration.write_text(_SERVER_CONFIGURATION.format(address=address, port=PORT, folder=folder, pam=pam))
    options = [word for option in (*_CLIENT_OPTIONS, f"UserKnownHostsFile={folder}/known") for word in ("-o", option)]
    return programs.Programs(
        server=("sh", "-c", _SERVE, SERVER, "-D", "-e", "-f", str(configuration)),
        client=(
            *("scp", "-q", "-F", "none", "-i", str(folder / "user"), "-P", str(PORT), *options),
            *("--", str(copied.source), f"{user}@{address}:{copied.copy}"),
        ),
        port=PORT,
    )


def locked(user: str, shadow: Path = _SHADOW) -> bool:
    """Whether an account has no password by a lock: without PAM, sshd lets nobody into it, not even by key."""
    fields = (line.split(":") for line in shadow.read_text().splitlines())
    return any(name == user and password.startswith("!") for name, password, *_ in fields)


def _make_key(path: Path) -> None:
    command = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "towline", "-f", str(path))
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RunError("sender", f"ssh-keygen: {done.stderr.strip()}")
