# SPDX-License-Identifier: GPL-2.0-only
"""The page of one sweep: the question, the answer, the conditions, the plots, the tables, and what does not count."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from towline.lab.measures import MEASURES
from towline.lab.plans.plan import Plan, Plot
from towline.lab.report import answer, cell_plots, cell_tables, conditions, discounted, plots, series_plot
from towline.lab.report.page import Section, details, page, paragraph, picture
from towline.lab.report.shown import Shown, facets, questions
from towline.lab.report.words import value_of
from towline.lab.sweep.results import Results

PAGE = "report.html"

_KINDS: Mapping[str, Callable[[Shown, Plot], Figure]] = {
    "line": cell_plots.line,
    "distribution": cell_plots.distribution,
    "series": series_plot.series,
}


@dataclass(frozen=True, kw_only=True)
class Told:
    """A sweep as a page tells it; `line`: its answer in one line."""

    question: str
    line: str
    sections: list[Section]


def write(results: Results, output: Path | None = None) -> Path:
    """Write report.html into a sweep's folder, or what `output` says, and each plot as .svg into the folder.

    Returns where the page is.
    """
    return put(tell(results), output or results.folder / PAGE)


def put(told: Told, where: Path) -> Path:
    """Write the page of one sweep; returns where it is."""
    where.write_text(page(told.question, told.sections), encoding="utf-8")
    return where


def tell(results: Results, *, prefix: str = "") -> Told:
    """The sections of a sweep's page; its plots are written as .svg into its folder.

    `prefix`: of anchors and ids, where several sweeps share a page.
    """
    shown = Shown(results)
    found = answer.answers(shown)
    bodies = {
        "The short answer": discounted.unfinished(shown) + _quick(results) + answer.section(shown, found),
        "Plots": "".join(_plot(shown, plot, prefix) for plot in results.plan.plots),
        "Cell by cell": paragraph("Medians of the runs that are shown.", kind="note") + cell_tables.cell_by_cell(shown),
        "The programs": cell_tables.programs(shown),
        "Conditions": conditions.section(shown),
        "What the path did": _path(shown),
        "What does not count": discounted.section(shown),
        "Raw data": conditions.raw_data(results),
    }
    sections = [
        Section(title=title, body=body, anchor=f"{prefix}{title.lower().replace(' ', '-')}")
        for title, body in bodies.items()
        if body
    ]
    return Told(question=_asked(results.plan), line=answer.in_a_line(shown, found), sections=sections)


def figures(results: Results) -> dict[str, Any]:
    """What the tables say, for programs: of each cell its axes, and of each figure median, interval and comparison."""
    shown = Shown(results)
    cells = []
    for cell in results.plan.cells:
        measures = {}
        for plot, measure in questions(results.plan):
            found, beside = shown.interval(cell, measure), shown.comparison(cell, plot, measure)
            measures[measure.name] = {
                "runs": found.n if found else 0,
                "median": found.median if found else None,
                "low": found.low if found else None,
                "high": found.high if found else None,
                "compared": answer.as_json(beside) if beside else None,
            }
        marks = discounted.marks(shown, cell)
        cells.append({"cell": cell.number, "axes": dict(cell.labels), "measures": measures, "marks": marks})
    return {
        "plan": results.plan.name,
        "question": results.plan.question,
        "folder": str(results.folder),
        "attempts": len(results.records),
        "counted": len(shown.counted),
        "shown": len(shown.records),
        "void": len(results.voids()),
        "cells": cells,
    }


def _plot(shown: Shown, plot: Plot, prefix: str) -> str:
    """A plot within the page, after it was written as a file; with its figures below it."""
    caption = _caption(shown.plan, plot)
    drawn = plots.svg(_KINDS[plot.kind](shown, plot), caption)
    (shown.results.folder / f"{plot.name}.svg").write_text(drawn, encoding="utf-8")
    body = picture(drawn, f"{caption} ({plot.name}.svg)", name=f"{prefix}{plot.name}")
    if plot.kind == "line":
        body += details("The figures of this plot", cell_tables.of_plot(shown, plot, MEASURES[plot.y]))
    return body


def _path(shown: Shown) -> str:
    found = cell_tables.impairments(shown)
    return details("Each impairment, asked for and measured", found) if len(shown.plan.cells) > 8 and found else found


def _caption(plan: Plan, plot: Plot) -> str:
    what = MEASURES[plot.y].label if plot.y in MEASURES else plot.y.replace("_", " ")
    over = "over time" if plot.x is None else f"over {plan.axes[plot.x].label}"
    kind = "distribution of " if plot.kind == "distribution" else ""
    lines = f", a line for each value of {plan.axes[plot.line].label}" if plot.line else ""
    panels = " and ".join(plan.axes[name].label for name in facets(plan, plot))
    said = f"{kind}{what} {over}{lines}{f', a panel for each {panels}' if panels else ''}"
    alone = [name for name in plan.axes if len({cell.labels[name] for cell in plan.cells}) == 1]
    fixed = ", ".join(value_of(plan.axes[name], plan.cells[0].labels[name]) for name in alone)
    return said[:1].upper() + said[1:] + (f"; {fixed}" if fixed else "")


def _quick(results: Results) -> str:
    if not results.design.quick:
        return ""
    return paragraph(
        "A quick version: short runs, few values of each axis, few blocks. It shows that the plan works, not what is "
        "the case.",
        kind="warning",
    )


def _asked(plan: Plan) -> str:
    return plan.question[:1].upper() + plan.question[1:]
