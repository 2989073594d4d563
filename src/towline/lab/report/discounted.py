# SPDX-License-Identifier: GPL-2.0-only
"""What does not count, and why: void, failed and refused runs, short ones, and counters that do not add up."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from towline.lab.plans.plan import Cell
from towline.lab.report import words
from towline.lab.report.page import items, paragraph
from towline.lab.report.shown import Shown
from towline.lab.report.tables import Styled, table
from towline.lab.sweep.results import ATTEMPTS_MOST, finished

Record = Mapping[str, Any]


def section(shown: Shown) -> str:
    """HTML."""
    results = shown.results
    wanted = _wanted(shown)
    parts = [
        paragraph(
            f"{words.counted(len(results.records), 'attempt')} for {words.counted(wanted, 'run')}: "
            f"{len(shown.counted):,} count, {len(shown.records):,} of these are shown; "
            f"{words.counted(len(results.voids()), 'attempt was', 'attempts were')} void (such a run is repeated at "
            f"most {ATTEMPTS_MOST - 1} times)."
        ),
        unfinished(shown),
        _accounting(shown),
    ]
    rows = [row for kind, said in _reasons(shown).items() for row in _rows(kind, said)]
    if rows:
        parts.append(table(["what", "times", "where", "why"], rows, texts=1))
    return "".join(parts)


def unfinished(shown: Shown) -> str:
    """HTML: a warning while runs are missing."""
    done, wanted = len(finished(shown.results.records)), _wanted(shown)
    if done >= wanted:
        return ""
    return paragraph(f"The sweep is not finished: {done:,} of {wanted:,} runs have been made.", kind="warning")


def marks(shown: Shown, cell: Cell) -> list[str]:
    """What is to be known of a cell's runs beside their figures."""
    records = [one for one in shown.results.records if one["cell"] == cell.number]
    short = [one for one in shown.counted if one["cell"] == cell.number and one.get("short") is not None]
    left_out = "" if shown.plan.short_transfers else ", left out"
    numbers = {
        f"short{left_out}": len(short),
        "void": sum(bool(one["void"]) for one in records),
        "failed": sum(_failed(one) for one in records),
        "refused": sum(one["refused"] is not None for one in records),
        "not adding up": sum(one["accounting"] is not None for one in records),
    }
    refused = ["not run: refused"] if cell.number in shown.results.design.refused else []
    return refused + [f"{number} {kind}" for kind, number in numbers.items() if number]


def _wanted(shown: Shown) -> int:
    design = shown.results.design
    return (len(shown.plan.cells) - len(design.refused)) * design.repetitions


def _accounting(shown: Shown) -> str:
    wrong = [one for one in shown.results.records if one["accounting"] is not None]
    if not wrong:
        return paragraph("The counters of every run add up.") if shown.results.records else ""
    cells = shown.plan.cells
    said = [f"block {one['repetition'] + 1}, {_cell(shown, cells[one['cell']])}: {one['accounting']}" for one in wrong]
    head = paragraph(f"The counters of {words.counted(len(wrong), 'run')} do not add up:", kind="red")
    return head + items(said, kind="red")


def _reasons(shown: Shown) -> dict[str, list[tuple[str, str]]]:
    """Kind -> (cell, reason) of each occurrence."""
    records, cells = shown.results.records, shown.plan.cells
    gone = "short" if shown.plan.short_transfers else "short, not plotted"

    def told(chosen: Iterable[Record], field: str) -> list[tuple[str, str]]:
        return [(_cell(shown, cells[one["cell"]]), str(one.get(field) or "no reason is known")) for one in chosen]

    return {
        "cell not run": [
            (_cell(shown, cells[number]), why) for number, why in sorted(shown.results.design.refused.items())
        ],
        "failed": told((one for one in records if _failed(one)), "failed"),
        "refused": told((one for one in records if one["refused"] is not None), "refused"),
        "void": told((one for one in records if one["void"]), "void_reason"),
        gone: told((one for one in shown.counted if one.get("short") is not None), "short"),
    }


def _rows(kind: str, occurrences: list[tuple[str, str]]) -> list[list[object]]:
    """One for each reason; numbers in it may differ."""
    groups: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for where, why in occurrences:
        groups[re.sub(r"\d[\d.,]*", "0", why)].append((where, why))
    rows: list[list[object]] = []
    for group in groups.values():
        places = Counter(where for where, _ in group)
        said = "; ".join(f"{where}{f' ({number})' if number > 1 else ''}" for where, number in places.items())
        reasons = list(dict.fromkeys(why for _, why in group))
        why = reasons[0] if len(reasons) == 1 else f"such as: {reasons[0]}"
        rows.append([Styled(kind, "strong"), len(group), said, why])
    return rows


def _failed(record: Record) -> bool:
    """Carried out, and the file did not arrive: no void, whose cause was the machine, and no refusal."""
    return bool(not record["void"] and record["refused"] is None and not record["verified"])


def _cell(shown: Shown, cell: Cell) -> str:
    return words.values_of(shown.plan.axes, shown.plan.axes, cell.labels)
