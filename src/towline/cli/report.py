# SPDX-License-Identifier: GPL-2.0-only
"""`towline lab report`: pages with plots and tables from the folders of sweeps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Annotated

from towline.cli.options import FLAG
from towline.cli.screen import print_json
from towline.errors import SettingsError, UnsupportedError
from towline.lab.sweep import results
from towline.lab.sweep.results import DESIGN


def report(
    *run: Path,
    compare: Path | None = None,
    output: Path | None = None,
    json: Annotated[bool, FLAG] = False,
) -> int:
    """Make a page of what sweeps have found; it opens offline, and the plots stand beside it as SVG.

    For example:

    towline lab report results/ack

    towline lab report results/quick

    towline lab report results/ack --compare results/ack-before

    Parameters
    ----------
    run
        The folder of a sweep, or a folder with several in it: these get one page with an index, and each its own.
    compare
        The folder of another sweep: show what changed since, instead.
    output
        Where the page goes. By default into the folder, as report.html or difference.html.
    json
        Print the figures of the tables instead, a line of JSON for each sweep, and make no page.
    """
    if not run:
        raise SettingsError("say whose results: a folder that `towline lab sweep` made, such as results/ack")
    pages = _pages()
    folders = [folder for one in run for folder in _sweeps(pages, one)]
    if compare is not None:
        if len(folders) != 1:
            raise SettingsError("--compare takes one sweep on each side: name a single sweep's folder")
        if json:
            raise SettingsError("--json has no figures of a comparison: leave out --json or --compare")
        print(pages.difference(results.read(folders[0]), results.read(compare), output))
    elif json:
        for folder in folders:
            print_json(pages.figures(results.read(folder)))
    elif len(folders) == 1 and _is_sweep(run[0]):
        print(pages.write(results.read(folders[0]), output))
    else:
        print(pages.index(folders, output or _beside(run)))
    return 0


def _pages() -> ModuleType:
    try:
        from towline.lab import report as pages  # noqa: PLC0415 (plots take half a second to load; most commands have none)
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.startswith("matplotlib"):
            raise
        raise UnsupportedError("a report", "the Python package matplotlib (pip install 'towline[lab]')") from None
    return pages


def _sweeps(pages: ModuleType, folder: Path) -> Sequence[Path]:
    if _is_sweep(folder):
        return [folder]
    found: list[Path] = pages.sweeps_in(folder)
    if not found:
        raise SettingsError(
            f"{folder} holds no results, and no folder in it does: `towline lab sweep` makes such folders"
        )
    return found


def _is_sweep(folder: Path) -> bool:
    return (folder / DESIGN).exists()


def _beside(run: Sequence[Path]) -> Path:
    """Where the page of several sweeps goes."""
    if len(run) == 1:
        return run[0] / "report.html"
    parents = {one.resolve().parent for one in run}
    if len(parents) > 1:
        raise SettingsError("these sweeps are in different folders: say where their page goes with --output FILE")
    return run[0].parent / "report.html"
