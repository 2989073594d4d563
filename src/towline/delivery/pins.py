# SPDX-License-Identifier: GPL-2.0-only
"""What lives on without the receiving process: its program on the interface, and maps, pinned in a bpffs.

<bpffs>/towline/persist/<namespace>-<ifindex>/   mode 0700, locked (flock) by the process that serves the interface
    link        the program's hold on the interface; through it all of the program's maps
    <name>      maps that were asked to be kept
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from towline.errors import UnsupportedError
from towline.kernel import bpffs, predecessors
from towline.kernel.attached import Attached
from towline.kernel.libbpf import LinkKind
from towline.kernel.link import Interface
from towline.kernel.memory import Map
from towline.kernel.objects import describe_map, link_info

_PERSIST, _LINK = "persist", "link"
_LOCKS = Path("/proc/locks")


class Pins:
    """Of one interface. At most one process has claimed them: the kernel lets go of its lock when it ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = -1

    @classmethod
    def of(cls, link: Interface) -> Pins:
        """Those of an interface of this thread's namespace. Raises PermissionsError, UnsupportedError."""
        namespace = Path("/proc/thread-self/ns/net").stat().st_ino
        return cls(bpffs.folder() / _PERSIST / f"{namespace}-{link.index}")

    def claim(self) -> None:
        """Make the folder, or take it over from a process that has ended. UnsupportedError where one has it."""
        for _ in range(bpffs.TRIES):
            bpffs.folder(_PERSIST, self.folder.name)
            with suppress(FileNotFoundError):
                if self._claimed():
                    return
                holder = _holder(self.folder.stat().st_ino)
                raise UnsupportedError("--persist here", f"the interface, which {holder} serves")
        raise UnsupportedError(f"pinning in {self.folder}", "a folder that stays: something removes it again and again")

    def _claimed(self) -> bool:
        """Raises FileNotFoundError where the folder has gone meanwhile."""
        lock = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(lock).st_ino != self.folder.stat().st_ino:
                raise FileNotFoundError(self.folder)
        except BlockingIOError:
            os.close(lock)
            return False
        except BaseException:
            os.close(lock)
            raise
        self._lock = lock
        return True

    def release(self) -> None:
        """Others may claim them; what is pinned stays. The folder goes if it is empty."""
        if self._lock >= 0:
            bpffs.tidy(self.folder)
            os.close(self._lock)
            self._lock = -1

    def link(self, ifindex: int | None = None) -> Attached | None:
        """The predecessor's hold on an interface (None: on any), to be closed. None where there is none; what else is
        pinned in its place is removed.
        """
        try:
            fd = bpffs.open_pinned(self.folder / _LINK)
        except OSError:
            self.remove(_LINK)
            return None
        with suppress(OSError):  # it is no link
            info = link_info(fd)
            if info.type == LinkKind.XDP and info.xdp_ifindex and ifindex in (None, info.xdp_ifindex):
                return Attached(info.id, fd)
        os.close(fd)
        self.remove(_LINK)
        return None

    def keep_link(self, fd: int) -> None:
        """The link stays when this process is killed."""
        bpffs.pin(fd, self.folder / _LINK)

    def keep(self, name: str, which: Map) -> None:
        """A map stays."""
        bpffs.pin(which.fd, self.folder / name)

    def map(self, name: str) -> Map:
        """A map that was kept, to be closed; OSError where there is none of that name."""
        fd = bpffs.open_pinned(self.folder / name)
        try:
            return describe_map(fd)
        except BaseException:
            os.close(fd)
            raise

    def names(self, start: str) -> list[str]:
        """Of what was kept under a name that begins so."""
        return sorted(path.name for path in self.folder.iterdir() if path.name.startswith(start))

    def remove(self, name: str) -> None:
        """Unpin one."""
        with suppress(OSError):
            (self.folder / name).unlink()

    def remove_all(self) -> None:
        """Nothing lives on: the program leaves the interface, unless somebody else holds it."""
        if found := self.link():
            with found:
                predecessors.forget(found.number)
        for path in self.folder.iterdir():
            self.remove(path.name)
        self.release()


def abandoned() -> Iterator[Pins]:
    """What processes that have ended left on this machine, claimed, so that none goes on with it meanwhile."""
    found = bpffs.existing()
    for folder in sorted((found / _PERSIST).glob("*")) if found else []:
        pins = Pins(folder)
        with suppress(OSError):
            if pins._claimed():
                yield pins


def _holder(inode: int) -> str:
    """Who has the lock on a folder."""
    for line in _LOCKS.read_text().splitlines():
        fields = line.split()  # number: FLOCK ADVISORY WRITE pid device:device:inode from to
        if fields[1] == "FLOCK" and fields[5].rpartition(":")[2] == str(inode):
            return f"process {fields[4]}"
    return "another process"
