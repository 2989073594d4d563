# SPDX-License-Identifier: GPL-2.0-only
"""Many sweeps on one page, with an index of their questions and answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from towline.lab.report.page import page, text
from towline.lab.report.sweep_page import PAGE, Told, put, tell
from towline.lab.sweep import results
from towline.lab.sweep.results import DESIGN

TITLE = "What the laboratory found"


def sweeps_in(folder: Path) -> list[Path]:
    """The folders of sweeps directly in a folder, by name."""
    return sorted(one.parent for one in folder.glob(f"*/{DESIGN}"))


def index(folders: Sequence[Path], output: Path) -> Path:
    """Write one page about many sweeps to `output`, and into each sweep's folder its own; returns `output`.

    Raises SettingsError for a folder without a sweep.
    """
    found: list[tuple[str, Told]] = []
    for number, folder in enumerate(folders):
        one = results.read(folder)
        name = f"{one.plan.name}-{number}"
        told = tell(one, prefix=f"{name}-")
        put(told, folder / PAGE)
        found.append((name, told))
    entries = "".join(
        f'<li><a href="#{text(name)}">{text(told.question)}</a><br>{text(told.line)}</li>\n' for name, told in found
    )
    body = "".join(
        f'<section class="whole" id="{text(name)}">\n<h2>{text(told.question)}</h2>\n'
        f"{''.join(replace(section, level=3).html() for section in told.sections)}</section>\n"
        for name, told in found
    )
    output.write_text(page(TITLE, [], lead=f"<ol>\n{entries}</ol>\n{body}"), encoding="utf-8")
    return output
