# SPDX-License-Identifier: GPL-2.0-only
"""Programs that were replaced, each kept, pinned, for as long as the link lives that held it: one can go back to it.

<bpffs>/towline/links/<number>/previous
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from towline.kernel import bpffs
from towline.kernel.objects import xdp_links

_LINKS, _PREVIOUS = "links", "previous"


def keep(link: int, program_fd: int) -> None:
    """The program that a link held before; instead of an earlier one."""
    folder = bpffs.folder(_LINKS, str(link))
    (folder / _PREVIOUS).unlink(missing_ok=True)
    bpffs.pin(program_fd, folder / _PREVIOUS)


def open_previous(link: int) -> int | None:
    """A descriptor of it, to be closed; None where nothing was replaced."""
    with suppress(FileNotFoundError):
        if found := bpffs.existing():
            return bpffs.open_pinned(found / _LINKS / str(link) / _PREVIOUS)
    return None


def forget(link: int) -> None:
    """The link ends."""
    if found := bpffs.existing():
        _remove(found / _LINKS / str(link))


def forget_ended() -> list[Path]:
    """Those of links that are no more, because their process was killed: what was removed."""
    found = bpffs.existing()
    kept = list((found / _LINKS).glob("*")) if found else []
    alive = {str(link.number) for link in xdp_links()} if kept else set()
    gone = [one for one in kept if one.name not in alive]
    for one in gone:
        _remove(one)
    return gone


def _remove(folder: Path) -> None:
    if folder.is_dir():
        for path in folder.iterdir():
            path.unlink(missing_ok=True)
        bpffs.tidy(folder)
