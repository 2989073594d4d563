# SPDX-License-Identifier: GPL-2.0-only
"""What a person reads of a bench: the conditions, who was how fast, and which aims were reached."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from benchmarks.bench import VARIANTS_SHARE, Bench
from benchmarks.contestants import CONTESTANTS, VARIANTS, Record
from benchmarks.figures import Cost, Result, Spread, Verdict, costs, memory, results, spread
from towline.quantities import format_size

BUSY = 0.1  # CPUs; above it somebody else was measured, too
ROUNDS_LEAST = 5

_STYLES: dict[Verdict, str] = {"reached": "bold green", "missed": "bold red", "unknown": "yellow", "not asked": "dim"}


def report(bench: Bench) -> RenderableType:
    """Everything, for a console."""
    return Group(
        _conditions(bench.conditions),
        *_warnings(bench),
        "",
        *(_speed(bench) if bench.rounds else ()),
        *(_levels(bench) if bench.variants else ()),
    )


def _speed(bench: Bench) -> Iterable[RenderableType]:
    yield _contestants("Everybody: median (least to most)", bench.rounds, CONTESTANTS)
    yield ""
    yield _figures(results(bench.rounds))
    yield ""
    yield _memory(memory(bench.rounds, bench.larger))
    yield ""


def _levels(bench: Bench) -> Iterable[RenderableType]:
    size = format_size(bench.conditions["size_bytes"] // VARIANTS_SHARE)
    yield _contestants(f"One thing at a time, {size} from memory to memory", bench.variants, VARIANTS)
    yield ""
    yield _costs(costs(bench.variants))


def _conditions(found: dict[str, Any]) -> Table:
    table = Table(title="Conditions", title_justify="left", show_header=False, box=None)
    table.add_column(style="dim")
    table.add_column()
    size = format_size(found["size_bytes"])
    for name, value in (
        ("date", found["date"]),
        ("machine", f"{found['cpus']} CPUs, {found['cpu']}, Linux {found['kernel']}"),
        ("busy CPUs before / after", f"{found['load_before']:.2f} / {found['load_after']:.2f}"),
        ("towline", f"{found['version']}, commit {found['commit'] or 'unknown'}"),
        ("compiled by", found["clang"]),
        ("each run", f"{size} bytes, payload {found['payload_size']}, MTU {found['mtu']}, new interfaces"),
        ("TCP", f"{found['congestion']} (this machine's default: {found['congestion_default'] or 'unknown'})"),
        ("rounds", f"{found['rounds']}, everybody once in each; seeds {_seeds(found['seeds'])}"),
    ):
        table.add_row(name, Text(value))
    return table


def _seeds(seeds: list[int]) -> str:
    return f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"


def _warnings(bench: Bench) -> Iterable[Text]:
    found = bench.conditions
    loads = [record.get("load") or 0.0 for each in (*bench.rounds, *bench.variants) for record in each.values()]
    if busy := sum(load > BUSY for load in loads):
        said = f"The machine was busy with something else before {busy} of {len(loads)} runs: these are hints."
        yield Text(said, style="yellow")
    if found["rounds"] < ROUNDS_LEAST:
        yield Text(f"Fewer than {ROUNDS_LEAST} rounds: the spread says little.", style="yellow")
    for number, each in (*enumerate(bench.rounds), *enumerate(bench.variants)):
        for name, record in each.items():
            if record.get("void"):
                yield Text(f"Left out: {name} in round {number + 1} ({record['void_reason']}).", style="yellow")
            if record.get("verified") is False:
                yield Text(f"NOT VERIFIED: {name} in round {number + 1}; left out.", style="bold red")


def _contestants(title: str, rounds: list[dict[str, Record]], names: Iterable[str]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for name in ("Gbit/s", "seconds", "CPU s per GiB", "peak MiB"):
        table.add_column(name, justify="right")
    for name in names:
        records = [each[name] for each in rounds if not each[name].get("void")]
        table.add_row(
            Text(name, style="bold" if name.startswith("towline") else ""),
            _shown(spread(record["goodput_gbps"] for record in records), 1),
            _shown(spread(record["seconds"] for record in records), 2),
            _shown(spread(record["cpu_seconds_per_gib"] for record in records), 2),
            _shown(spread(record["peak_rss_mib"] for record in records), 0),
        )
    return table


def _figures(found: list[Result]) -> Table:
    table = Table(title="Side by side: median of the rounds' ratios (least to most)", title_justify="left")
    for name in ("", "over"):
        table.add_column(name, no_wrap=True)
    for name in ("ratio", "must be", "", "aim", ""):
        table.add_column(name, justify="right")
    table.add_column("")
    for result in found:
        figure = result.figure
        table.add_row(
            figure.ours,
            figure.theirs,
            _shown(result.ratio, 2),
            _times(figure.least),
            _word(result.must if figure.least else None),
            _times(figure.aim),
            _word(result.aim if figure.aim else None),
            Text(result.note, style="dim"),
        )
    return table


def _costs(found: list[Cost]) -> Table:
    table = Table(title="What it costs: median of the rounds' ratios (least to most)", title_justify="left")
    for name in ("", "over"):
        table.add_column(name, no_wrap=True)
    for name in ("goodput", "CPU s per GiB"):
        table.add_column(name, justify="right")
    for cost in found:
        table.add_row(cost.ours, cost.theirs, _shown(cost.goodput, 2), _shown(cost.cpu, 2))
    return table


def _memory(found: list[tuple[str, str, Verdict]]) -> Table:
    table = Table(title="towline's memory", title_justify="left", show_header=False)
    for what, finding, verdict in found:
        table.add_row(what, finding, _word(verdict))
    return table


def _shown(value: Spread, digits: int) -> str:
    if value.median is None:
        return "-"
    if value.rounds == 1:
        return f"{value.median:.{digits}f}"
    return f"{value.median:.{digits}f} ({value.low:.{digits}f} to {value.high:.{digits}f})"


def _times(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _word(verdict: Verdict | None) -> Text:
    return Text("") if verdict is None else Text(verdict, style=_STYLES[verdict])
