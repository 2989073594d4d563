# SPDX-License-Identifier: GPL-2.0-only
"""`towline demo`: a real file crosses a veth pair on this machine, is checked, and what happened is shown."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from towline.cli.screen import Screen, demo_table, print_table
from towline.errors import FileError, IntegrityError
from towline.settings import GIB, MIB, Settings

SEARCHED = Path("/usr")
LARGE_BYTES = range(64 * MIB, GIB + 1)  # long enough to watch, short enough to wait for


def demo(file: Path | None = None, /) -> int:
    """Send a real file between two network namespaces on this machine, check it, and show what happened.

    Nothing outside the two namespaces is touched, and they are gone afterwards. It needs root.

    For example:

    towline demo

    towline demo film.mkv

    Parameters
    ----------
    file
        The file to send; without one, a large file that is found on this machine.
    """
    from towline.lab.run import Run, run  # noqa: PLC0415 (every send and receive would import it, too)

    source = file or large_file(SEARCHED)
    with Screen(summary=False) as screen:
        record = run(Run(source=source, settings=Settings()), screen)
    print_table(demo_table(record, f"{source} over a veth pair"))
    if not record["verified"]:
        raise IntegrityError("the received file differs from its source")
    return 0


def large_file(folder: Path) -> Path:
    """The largest readable file below a folder that is not too large to wait for; else the largest of all.

    Raises FileError where there is none.
    """
    found = list(_files(folder))
    if not found:
        raise FileError(folder, "holds no readable file; name one: towline demo FILE")
    fitting = [each for each in found if each[0] in LARGE_BYTES]
    return Path(max(fitting or found)[1])


def _files(folder: Path) -> Iterator[tuple[int, str]]:
    for parent, _, names in os.walk(folder):
        for name in names:
            path = f"{parent}/{name}"
            try:
                about = os.lstat(path)
            except OSError:
                continue
            # Regular files only: a link or a device would be another file than its name says.
            if about.st_mode & 0o170000 == 0o100000 and os.access(path, os.R_OK):
                yield about.st_size, path
