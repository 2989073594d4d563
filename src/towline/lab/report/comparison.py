# SPDX-License-Identifier: GPL-2.0-only
"""The page of a comparison: the answers, a plot, the tables, the conditions, and what does not count."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from towline.lab.compare import comparison, scoreboard
from towline.lab.compare.comparison import Cell, Compared
from towline.lab.compare.contestants import PACE_SHARE, TOLD, Contestant
from towline.lab.report import page, plots
from towline.lab.report.tables import facts, table
from towline.lab.statistics import Interval, median_interval
from towline.quantities import format_duration, format_share, format_size

PAGE, PICTURE = "report.html", "goodput.svg"
_COLUMNS_MOST = 2
_OURS, _SECOND, _FILE, _NO_FILE = plots.COLOURS[1], plots.COLOURS[4], plots.COLOURS[0], plots.COLOURS[8]
_ROOM = 1.6  # above the highest and below the lowest value, as a factor


def write(found: Compared) -> Path:
    """Write the page and its picture into the comparison's folder; returns where the page is."""
    drawn = plots.svg(figure(found), f"Goodput of each contestant; {found.comparison.conditions()}")
    (found.folder / PICTURE).write_text(drawn, encoding="utf-8")
    path = found.folder / PAGE
    path.write_text(html(found, drawn), encoding="utf-8")
    return path


def html(found: Compared, drawn: str) -> str:
    """The page; `drawn`: the plot as SVG."""
    asked = found.comparison
    title = f"towline and others: {format_size(asked.size_bytes)} over {asked.conditions()}"
    lead = "".join(page.paragraph(answer, kind="lead") for answer in scoreboard.answers(found))
    sections = [
        page.Section(title="Goodput", body=page.picture(drawn, _caption(found), name="goodput")),
        *(
            page.Section(title=one.title, body=table(one.header, _unbroken(one)) + page.items(one.notes, kind="note"))
            for one in scoreboard.tables(found)
        ),
        page.Section(title="Conditions", body=_conditions(found)),
        page.Section(title="What does not count", body=_not_counted(found)),
        page.Section(title="The raw data", body=_raw(found)),
    ]
    return page.page(title, sections, lead=lead)


def figure(found: Compared) -> Figure:
    """A panel for each loss, in it every contestant's runs with median and interval, on a logarithmic scale."""
    losses = found.comparison.losses
    columns = min(len(losses), _COLUMNS_MOST)
    rows = math.ceil(len(losses) / columns)
    drawing = plots.figure(height_inches=1.6 + 2.9 * rows)
    grid = drawing.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    unit = scoreboard.scale(found)
    for axes, loss in zip(grid.flat, losses, strict=False):
        if found.comparison.emulated:
            axes.set_title(f"loss {format_share(loss)} each way", fontsize=10, loc="left")
        _panel(axes, found, found.at(loss), unit)
    for left_over in grid.flat[len(losses) :]:
        left_over.set_visible(False)
    for row in grid:
        row[0].set_ylabel(f"goodput ({unit.unit}), logarithmic")
    _limits(grid.flat[0], found, unit)
    for axes in grid.flat:  # those in the last row, and those above a panel that is not there
        axes.tick_params(axis="x", labelbottom=True)
    runs = [len(found.counted[cell.number]) for cell in found.comparison.cells]
    plots.note(drawing, plots.marks_of(runs))
    return drawing


def _unbroken(said: scoreboard.Table) -> list[tuple[str, ...]]:
    """The names in one line."""
    return [(row[0].replace(" ", "\N{NO-BREAK SPACE}"), *row[1:]) for row in said.rows]


def _panel(axes: Axes, found: Compared, cells: list[Cell], unit: scoreboard.Scale) -> None:
    axes.set_yscale("log")
    for x, cell in enumerate(cells):
        values = [unit.factor * one for one in found.values(cell, "goodput_gbps").values() if one > 0]
        color, shape = _look(cell.contestant)
        drawn = plots.cell_points(axes, x, values, color, width=0.45, shape=shape, seed=cell.number)
        if drawn is not None and found.capped(cell):
            axes.annotate(
                scoreboard.CAPPED, (x, max(values)), xytext=(0, 3), textcoords="offset points", ha="center", fontsize=12
            )
    axes.set_xticks(
        range(len(cells)),
        [cell.contestant.label.removesuffix(TOLD) for cell in cells],
        rotation=38,
        ha="right",
        fontsize=8,
    )
    axes.set_xlim(-0.6, len(cells) - 0.4)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="y", color=plots.FAINT, linewidth=0.6)


def _limits(axes: Axes, found: Compared, unit: scoreboard.Scale) -> None:
    """At least a decade, or the numbers beside the axis would be none."""
    values = [
        unit.factor * one
        for cell in found.comparison.cells
        for one in found.values(cell, "goodput_gbps").values()
        if one > 0
    ]
    if not values:
        return
    low, high = min(values) / _ROOM, max(values) * _ROOM
    axes.set_ylim(min(low, high / 10), high)


def _look(one: Contestant) -> tuple[str, str]:
    """Colour and shape: towline, towline without eBPF, others that deliver a file, others that do not."""
    if one.yardstick is None:
        return (_OURS, "D") if one.datapath == "ebpf" else (_SECOND, "D")
    return (_FILE, "o") if one.delivers_file else (_NO_FILE, "X")


def _caption(found: Compared) -> str:
    said = "Diamonds: towline; circles: others that deliver the file; crosses: what delivers no file."
    if "rate" in found.comparison.path:
        said += " towline and UDP are told the rate, the others find it out."
    if any(found.capped(cell) for cell in found.comparison.cells):
        cap = format_duration(round(found.comparison.cap_s * 1e6))
        said += f" {scoreboard.CAPPED} stopped after {cap}: bytes delivered by then, per second."
    return said


def _conditions(found: Compared) -> str:
    asked = found.comparison
    told = f"{PACE_SHARE:.0%} of the rate: it has no congestion control, and must be told"
    versions = {one["contestant"]: one["tool"] for one in found.records if one["tool"]}
    measured = [
        f"{format_share(loss)}: {scoreboard.interval(pooled)}"
        for loss in asked.losses
        if (pooled := _realised(found, loss))
    ]
    said = facts(
        {
            "path": asked.conditions(),
            "loss each way": ", ".join(map(format_share, asked.losses)) if asked.emulated else None,
            "loss that was met, forward (%)": "; ".join(measured) if measured else None,
            "file": f"{format_size(asked.size_bytes)} of random bytes in memory, written to memory by the receiver",
            "towline's pace": told if "rate" in asked.path else None,
            "a run is stopped after": format_duration(round(asked.cap_s * 1e6)),
            "design": f"{asked.repetitions} blocks; each has every contestant at every loss once, in random order "
            f"(seed {asked.seed}), after a warm-up that does not count",
            "wire": "two namespaces and an emulator between them, made for each block; frames as long as on a wire "
            "(MTU 1500); what TCP remembers of a destination is switched off"
            if asked.emulated
            else "a veth pair, made for each run",
            "the emulator passes here": f"{asked.ceiling_gbps:.2f} Gbit/s" if asked.ceiling_gbps else None,
            "processor": asked.machine.get("cpu"),
            "processors": asked.machine.get("cpus"),
            "kernel": asked.machine.get("kernel"),
            "begun": asked.started,
        }
    )
    tools = {asked.all[name].label: tool for name, tool in versions.items()}
    return said + "<h3>Tools</h3>\n" + facts(tools) + page.items(scoreboard.missing(found))


def _realised(found: Compared, loss: float) -> Interval | None:
    values = [100 * one for cell in found.at(loss) for one in found.values(cell, "measured_loss_forward").values()]
    return median_interval(values) if values else None


def _not_counted(found: Compared) -> str:
    said = []
    for kind, runs, reason in (("void", found.voids(), "void_reason"), ("failed", found.failures(), "failed")):
        for (name, why), count in Counter((one["contestant"], one[reason]) for one in runs).items():
            said.append(f"{kind}, {count} x {found.comparison.all[name].label}: {why}")
    number = sum(map(len, found.counted.values()))
    counted = f"{number} of {found.comparison.runs} runs count; {len(found.records)} attempts were made."
    return page.paragraph(counted) + page.items(said)


def _raw(found: Compared) -> str:
    return (
        page.paragraph(f"Each attempt is a line of {comparison.RECORDS}; what was decided, {comparison.COMPARISON}.")
        + page.paragraph("The same again:")
        + page.listing(found.comparison.command())
    )
