# SPDX-License-Identifier: GPL-2.0-only
"""Programs that were replaced, each kept, pinned, for as long as the link lives that held it: one can go back to it.

<bpffs>/towline/links/<number>/previous
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from towline.kernel import bpffs
from towline.kernel.objects import xdp_links

_LINKS, _PREVIOUS = "links", "previous"


@contextmanager
def keeping(link: int, program_fd: int) -> Iterator[Callable[[], None]]:
    """The program that a link held before, instead of an earlier one, for who replaces it meanwhile: what can be
    refused, and takes long, is done when this yields; what it yields does the rest at once, and until then the earlier
    one is there.
    """
    folder = bpffs.folder(_LINKS, str(link))
    new = folder / f"{_PREVIOUS}-{secrets.token_hex(4)}"  # of no other process, and without a dot: bpffs refuses it
    bpffs.pin(program_fd, new)

    def now() -> None:
        with suppress(FileNotFoundError):  # forgotten meanwhile: the link has ended
            new.replace(folder / _PREVIOUS)

    try:
        yield now
    finally:
        new.unlink(missing_ok=True)


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
    kept: list[Path] = []
    with suppress(FileNotFoundError):  # the last one is forgotten meanwhile
        kept = list((found / _LINKS).iterdir()) if found else []
    alive = {str(link.number) for link in xdp_links()} if kept else set()
    gone = [one for one in kept if one.name not in alive]
    for one in gone:
        _remove(one)
    return gone


def _remove(folder: Path) -> None:
    with suppress(FileNotFoundError):  # there is none, or another process forgets it at the same time
        for path in folder.iterdir():
            path.unlink(missing_ok=True)
        bpffs.tidy(folder)
