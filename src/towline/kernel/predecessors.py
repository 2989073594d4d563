# SPDX-License-Identifier: GPL-2.0-only
"""Programs that were replaced, each kept, pinned, for as long as the link lives that held it: one can go back to it.

<bpffs>/towline/links/<number>/previous
"""

from __future__ import annotations

from pathlib import Path

from towline.kernel import bpffs

_LINKS, _PREVIOUS = "links", "previous"


def keep(link: int, program_fd: int) -> None:
    """The program that a link held before; instead of an earlier one."""
    folder = bpffs.folder() / _LINKS / str(link)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / _PREVIOUS).unlink(missing_ok=True)
    bpffs.pin(program_fd, folder / _PREVIOUS)


def open_previous(link: int) -> int | None:
    """A descriptor of it, to be closed; None where nothing was replaced."""
    try:
        return bpffs.open_pinned(bpffs.folder() / _LINKS / str(link) / _PREVIOUS)
    except FileNotFoundError:
        return None


def forget(link: int) -> None:
    """The link ends."""
    if found := bpffs.existing():
        _remove(found / _LINKS / str(link))


def forget_ended(alive: set[int]) -> list[Path]:
    """Those of links that are no more: what was removed."""
    found = bpffs.existing()
    gone = [one for one in (found / _LINKS).glob("*") if one.name not in map(str, alive)] if found else []
    for one in gone:
        _remove(one)
    return gone


def _remove(folder: Path) -> None:
    if folder.is_dir():
        for path in folder.iterdir():
            path.unlink(missing_ok=True)
        folder.rmdir()
