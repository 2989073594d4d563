# SPDX-License-Identifier: GPL-2.0-only
"""`towline lab soak`: thousands of random transfers over impaired paths, each verified."""

from __future__ import annotations

import sys
from typing import Annotated, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from towline.cli.options import FLAG
from towline.cli.screen import MIB, print_json, print_table, printable
from towline.errors import SettingsError, TowlineError
from towline.lab.soak.rig import Outcome
from towline.lab.soak.run import RIGS, Totals, seeds
from towline.lab.soak.run import soak as run_soak

TRANSFERS = 1000
_DATAPATHS = ("ebpf:ebpf", "ebpf:socket", "socket:ebpf", "socket:socket")


def soak(
    *,
    transfers: int | None = None,
    minutes: float | None = None,
    seed: int = 0,
    only: int | None = None,
    json: Annotated[bool, FLAG] = False,
) -> int:
    """Carry out random transfers, with random settings over paths with random faults, and verify each.

    What a transfer is follows from its seed alone. The exit code is 0 only if all files were right, both ends
    said so, and nothing was left behind.

    For example:

    towline lab soak --minutes 90 --seed 20000

    towline lab soak --only 4711

    Parameters
    ----------
    transfers
        How many; 1000, unless --minutes was given.
    minutes
        Begin new ones for so long.
    seed
        Seed of the first; the others follow.
    only
        Carry out the one of this seed.
    json
        Print a line of JSON for each transfer on stdout, and nothing else.
    """
    if (transfers is not None and transfers < 1) or (minutes is not None and minutes <= 0):
        raise SettingsError("a soak has at least one transfer, and takes time")
    count = 1 if only is not None else transfers
    if count is None and minutes is None:
        count = TRANSFERS
    first = seed if only is None else only
    with _progress(count) as bar:
        task = bar.add_task("", total=count)

        def tell(totals: Totals, outcome: Outcome) -> None:
            rate = totals.transfers / totals.seconds if totals.seconds else 0.0
            bar.update(task, completed=totals.transfers, description=f"{rate:.1f}/s, {len(totals.failed)} failed")
            if outcome.problem is not None:
                _complain(bar.console, outcome)
            if json:
                print_json(_line(outcome))

        totals = run_soak(seeds(first, count), tell, minutes=minutes, rigs=1 if count == 1 else RIGS)
    if not json:
        print_table(_table(totals))
    for problem in totals.left:
        print(f"left: {problem}", file=sys.stderr)
    if not totals.good:
        wrong = ", ".join(str(outcome.plan.seed) for outcome in totals.failed)
        raise TowlineError(f"transfers that failed: {wrong or 'none'}; left behind: {len(totals.left)}")
    return 0


def _progress(total: int | None) -> Progress:
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _complain(console: Console, outcome: Outcome) -> None:
    plan = outcome.plan
    console.print(Text(printable(f"seed {plan.seed} failed after {outcome.seconds:.1f} s: {outcome.problem}")))
    console.print(Text(f"  again: towline lab soak --only {plan.seed}\n  alone: {plan.command()}"))
    for line in outcome.log.splitlines():
        console.print(Text(f"  | {printable(line)}"))


def _line(outcome: Outcome) -> dict[str, Any]:
    """The record of a transfer's settings, with what became of it."""
    plan = outcome.plan
    fields = plan.settings.record_fields() | outcome.record
    told = {name: getattr(outcome, name) for name in ("problem", "unconfirmed")}
    return (
        fields
        | told
        | {
            "seed": plan.seed,
            "file_bytes": plan.size_bytes,
            "soak_seconds": outcome.seconds,
            **{f"rss_kib_{side}": over.rss_kib for side, over in outcome.held.items()},
            "command": plan.command(),
        }
    )


def _table(totals: Totals) -> Table:
    """Transfers by level and datapath; above them the rest."""
    rate = totals.transfers / totals.seconds if totals.seconds else 0.0
    title = (
        f"{totals.transfers:,} transfers in {totals.seconds:,.0f} s ({rate:.2f}/s), {totals.file_bytes / MIB:,.0f} MiB,"
        f" {totals.sums['packets']:,} packets, {totals.sums['retransmissions']:,} retransmissions,"
        f" {totals.unconfirmed} unconfirmed, {len(totals.failed)} failed"
    )
    table = Table(title=Text(title), title_justify="left")
    table.add_column("level")
    for name in (*_DATAPATHS, "all"):
        table.add_column(name, justify="right")
    for level in sorted({level for level, _ in totals.by}):
        counts = [totals.by[level, datapath] for datapath in _DATAPATHS]
        table.add_row(level, *(f"{count:,}" for count in (*counts, sum(counts))))
    return table
