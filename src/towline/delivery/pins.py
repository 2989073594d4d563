# SPDX-License-Identifier: GPL-2.0-only
"""What lives on without the receiving process: its program on the interface, and maps, pinned in a bpffs.

<bpffs>/towline/persist/<namespace>-<ifindex>/   mode 0700
    link        the program's hold on the interface; through it all of the program's maps
    owner       who serves it: an array of OWNER_BYTES
    <name>      whatever else was asked to be kept
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from towline.errors import UnsupportedError
from towline.kernel import bpffs
from towline.kernel.attached import Attached
from towline.kernel.link import Interface
from towline.kernel.memory import Map
from towline.kernel.objects import describe_map, link_info
from towline.owner import is_gone, owner

OWNER_BYTES = 64
_PERSIST, _LINK, _OWNER = "persist", "link", "owner"


class Pins:
    """Of one interface. At most one process uses them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def of(cls, link: Interface) -> Pins:
        """Those of an interface of this thread's namespace. Raises PermissionsError, UnsupportedError."""
        namespace = Path("/proc/thread-self/ns/net").stat().st_ino
        return cls(bpffs.folder() / _PERSIST / f"{namespace}-{link.index}")

    def claim(self) -> None:
        """Make the folder, or take it over from a process that has ended. UnsupportedError where one has it."""
        if (known := self._owner()) is not None and not _has_ended(known):
            raise UnsupportedError("--persist here", f"the interface, which process {known.partition('-')[0]} serves")
        bpffs.folder(_PERSIST, self.folder.name)
        self.remove(_OWNER)
        with Map.create_array("towline_owner", OWNER_BYTES) as made:
            text = owner().encode()
            made.bytes()[: len(text)] = np.frombuffer(text, np.uint8)
            bpffs.pin(made.fd, self.folder / _OWNER)

    def link(self, ifindex: int) -> Attached | None:
        """The predecessor's hold on the interface; None where there is none, or what is pinned is something else."""
        try:
            fd = bpffs.open_pinned(self.folder / _LINK)
        except FileNotFoundError:
            return None
        info = link_info(fd)
        if info.xdp_ifindex != ifindex:
            os.close(fd)
            return None
        return Attached(info.id, fd)

    def keep_link(self, fd: int) -> None:
        """The link stays when this process is killed."""
        bpffs.pin(fd, self.folder / _LINK)

    def keep(self, name: str, which: Map) -> None:
        """A map stays."""
        bpffs.pin(which.fd, self.folder / name)

    def map(self, name: str) -> Map:
        """A map that was kept, to be closed; FileNotFoundError."""
        return describe_map(bpffs.open_pinned(self.folder / name))

    def names(self) -> list[str]:
        """Of the maps that were kept."""
        if not self.folder.is_dir():
            return []
        return sorted({path.name for path in self.folder.iterdir()} - {_LINK, _OWNER})

    def remove(self, name: str) -> None:
        """Unpin one."""
        (self.folder / name).unlink(missing_ok=True)

    def remove_all(self) -> None:
        """Nothing lives on."""
        if self.folder.is_dir():
            for path in self.folder.iterdir():
                path.unlink(missing_ok=True)
            bpffs.tidy(self.folder)

    def is_abandoned(self) -> bool:
        """Whether the process that pinned has ended."""
        known = self._owner()
        return known is None or _has_ended(known)

    def _owner(self) -> str | None:
        try:
            with self.map(_OWNER) as found:
                return found.bytes().tobytes().rstrip(b"\0").decode(errors="replace")
        except (FileNotFoundError, NotADirectoryError):
            return None


def abandoned() -> list[Pins]:
    """What processes that have ended left on this machine."""
    found = bpffs.existing()
    kept = sorted((found / _PERSIST).glob("*")) if found else []
    return [pins for pins in map(Pins, kept) if pins.is_abandoned()]


def _has_ended(known: str) -> bool:
    pid, _, start = known.partition("-")
    return not pid.isdecimal() or is_gone(int(pid), start)
