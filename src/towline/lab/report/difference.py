# SPDX-License-Identifier: GPL-2.0-only
"""What changed between two sweeps: the cells that both have, side by side, and the conditions that differ."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import xxhash

from towline.lab.measures import Measure
from towline.lab.plans.plan import Cell
from towline.lab.report import conditions, words
from towline.lab.report.page import Section, items, page, paragraph
from towline.lab.report.shown import Shown, questions
from towline.lab.report.tables import Entry, table
from towline.lab.statistics import unpaired_ratio, verdict
from towline.lab.sweep.results import Results

PAGE = "difference.html"


def difference(one: Results, other: Results, output: Path | None = None) -> Path:
    """Write how `one` differs from `other` to difference.html in the folder of `one`, or to `output`; returns it."""
    where = output or one.folder / PAGE
    title = f"{one.folder.name} compared with {other.folder.name}: what changed?"
    sections = [
        Section(title="Figures", body=_figures(Shown(one), Shown(other))),
        Section(title="Conditions", body=_conditions(one, other)),
    ]
    where.write_text(page(title, sections, lead=_lead(one, other)), encoding="utf-8")
    return where


def _lead(one: Results, other: Results) -> str:
    return paragraph(f"{one.folder}: {one.plan.question}", kind="lead") + paragraph(
        f"{one.folder} and {other.folder} are two sessions: their runs share no blocks, so that whatever changed "
        "on the machine between them is in the ratios, too. In brackets the 95 % interval of the ratio of the two "
        "medians, by bootstrap of each session on its own; fewer than six runs have none."
    )


def _figures(one: Shown, other: Shown) -> str:
    theirs = {_key(cell): cell for cell in other.plan.cells}
    common = [(cell, theirs[_key(cell)]) for cell in one.plan.cells if _key(cell) in theirs]
    if not common:
        return paragraph("The two have no cell in common.", kind="warning")
    asked = {measure.name: measure for shown in (one, other) for _, measure in questions(shown.plan)}
    parts = [_table(one, other, measure, common) for measure in asked.values()]
    alone = len(one.plan.cells) + len(other.plan.cells) - 2 * len(common)
    if alone:
        parts.append(
            paragraph(f"{words.counted(alone, 'cell')} of the two plans stand in one of them only.", kind="note")
        )
    return "".join(parts)


def _table(one: Shown, other: Shown, measure: Measure, common: list[tuple[Cell, Cell]]) -> str:
    rows: list[list[Entry]] = []
    for ours, theirs in common:
        medians = [shown.interval(cell, measure) for shown, cell in ((other, theirs), (one, ours))]
        ratio = unpaired_ratio(list(one.values(ours, measure).values()), list(other.values(theirs, measure).values()))
        said = words.estimate(ratio.ratio, ratio.low, ratio.high) if ratio else words.UNKNOWN
        rows.append(
            [
                words.values_of(one.plan.axes, one.plan.axes, ours.labels),
                *(f"{words.number(found.median)} (n = {found.n})" if found else words.UNKNOWN for found in medians),
                said,
                verdict(ratio) if ratio else "",
            ]
        )
    header = [measure.title, other.results.folder.name, one.results.folder.name, "ratio", "verdict"]
    return table(header, rows)


def _conditions(one: Results, other: Results) -> str:
    sides = [_all_conditions(results) for results in (other, one)]
    names = list(dict.fromkeys(name for side in sides for name in side))
    changed = [
        f"{name}: {sides[0].get(name, 'not the same for all')} then, {sides[1].get(name, 'not the same for all')} now"
        for name in names
        if sides[0].get(name) != sides[1].get(name)
    ]
    if not changed:
        return paragraph("Machine, versions, plan and settings are the same.")
    return paragraph(f"What differs, from {other.folder} (then) to {one.folder} (now):") + items(changed)


def _key(cell: Cell) -> tuple[tuple[str, str], ...]:
    """What makes cells of two plans the same."""
    return tuple(sorted(cell.labels.items()))


def _all_conditions(results: Results) -> Mapping[str, object]:
    design = results.design
    return {
        **design.machine,
        "towline": conditions.versions(results.records) or "unknown",
        "plan": design.plan,
        "the plan's text": f"fingerprint {xxhash.xxh3_64_hexdigest(results.plan.text.encode())[:8]}",
        "begun": design.started,
        "seed": design.seed,
        "blocks": design.repetitions,
        "quick": "yes" if design.quick else "no",
        "emulator": "all cells cross it" if design.emulated else "none",
        "emulator's ceiling": "none" if design.ceiling_gbps is None else f"{words.number(design.ceiling_gbps)} Gbit/s",
        **conditions.held(Shown(results).counted),
    }
