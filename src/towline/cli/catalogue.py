# SPDX-License-Identifier: GPL-2.0-only
"""`towline lab list`: what there is to choose from, and why something cannot be had here."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from rich.table import Table
from rich.text import Text

from towline.cli.options import FLAG
from towline.cli.screen import print_json, print_table, printable
from towline.errors import SettingsError
from towline.lab.catalogue import Entry, catalogue

PLANS = Path("plans")


def list_(*, plans: Path | None = None, json: Annotated[bool, FLAG] = False) -> int:
    """Show environments, levels, datapaths, deliveries, yardsticks and plans.

    What cannot be had on this machine is shown with the reason. That needs to be tried out, so root sees more.

    For example:

    towline lab list

    towline lab list --plans ~/my-plans --json

    Parameters
    ----------
    plans
        The folder of the plans; plans, unless something else is said.
    json
        Print JSON on stdout, and nothing else: for each kind a list of name, what and missing (null: it is there).
    """
    if plans is not None and not plans.is_dir():
        raise SettingsError(f"--plans {plans}: there is no such folder")
    found = catalogue(plans or PLANS)
    if json:
        print_json({kind: [dataclasses.asdict(entry) for entry in entries] for kind, entries in found.items()})
        return 0
    for kind, entries in found.items():
        print_table(_table(kind, entries))
    if not found["plans"]:
        print(f"there are no plans in {plans or PLANS}: say where with --plans FOLDER")
    return 0


def _table(kind: str, entries: Sequence[Entry]) -> Table:
    table = Table(title=Text(kind), title_justify="left", show_header=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for entry in entries:
        missing = Text(f"not here: {printable(entry.missing)}", style="red") if entry.missing else Text()
        between = ". " if entry.what and entry.missing else ""
        table.add_row(printable(entry.name), Text(f"{printable(entry.what)}{between}") + missing)
    return table
