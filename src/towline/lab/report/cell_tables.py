# SPDX-License-Identifier: GPL-2.0-only
"""The tables of a sweep's page: cell by cell, what the path really did, and the programs' figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from towline.lab.measures import MEASURES, Measure
from towline.lab.plans.plan import Cell, Plan, Plot
from towline.lab.record import IMPAIRMENT_FIELDS
from towline.lab.report import discounted, words
from towline.lab.report.shown import Shown
from towline.lab.report.tables import Entry, Styled, table
from towline.quantities import DIRECTIONS, format_size

Record = Mapping[str, Any]

_BESIDE = ("goodput_gbps", "cpu_seconds_per_gib", "rtt_us_p50", "rtt_us_p99", "retransmission_share")
_SHORT_TITLES = {
    "goodput_gbps": "goodput (Gbit/s)",
    "cpu_seconds_per_gib": "CPU (s/GiB)",
    "rtt_us_p50": "round trip, p50 (us)",
    "rtt_us_p99": "p99 (us)",
    "retransmission_share": "sent again (%)",
}
_ARROWS = {"forward": "→", "backward": "←"}
_PROGRAMS = ("sender", "receiver", "emulator")
_FIGURES = ("instructions", "verified_instructions", "jited_bytes", "program_ns")


def of_plot(shown: Shown, plot: Plot, measure: Measure) -> str:
    """HTML: of each cell the number of runs, median, interval, and how it compares."""
    rows: list[list[Entry]] = []
    for cell in shown.plan.cells:
        found, beside = shown.interval(cell, measure), shown.comparison(cell, plot, measure)
        row: list[Entry] = [*cell.labels.values(), found.n if found else 0]
        row += (
            [words.number(found.median, (found.high or 0) - (found.low or 0)), words.interval(found)]
            if found
            else [words.UNKNOWN, words.UNKNOWN]
        )
        ratio = beside.ratio if beside else None
        row.append(words.estimate(ratio.ratio, ratio.low, ratio.high) if ratio else words.UNKNOWN)
        difference = beside.difference if beside else None
        row.append(
            words.estimate(difference.difference, difference.low, difference.high) if difference else words.UNKNOWN
        )
        rows.append([*row, beside.word if beside else ""])
    unit = f" ({measure.unit})" if measure.unit else ""
    header = ["runs", f"median{unit}", "95 % interval", "ratio", f"difference{unit}", "verdict"]
    return table([*_axes(shown.plan), *header], rows, texts=len(shown.plan.axes))


def cell_by_cell(shown: Shown) -> str:
    """HTML: medians of what every plan is asked about, and marks for what is not as it should be."""
    columns = [MEASURES[name] for name in _BESIDE]
    losses = [way for way in DIRECTIONS if any(one.get(f"measured_loss_{way}") for one in shown.counted)]
    rows: list[list[Entry]] = []
    for cell in shown.plan.cells:
        records = shown.of(cell)
        only_short = not records
        records = records or [one for one in shown.counted if one["cell"] == cell.number]
        figures: list[Entry] = [len(records), _file_size(shown, cell)]
        figures += [words.number(_median([measure.of(one) for one in records])) for measure in columns]
        figures += [
            words.impairment("loss", _median([one.get(f"measured_loss_{way}") for one in records])) for way in losses
        ]
        if only_short:
            figures = [Styled(one, "grey") for one in figures]
        marks = discounted.marks(shown, cell)
        rows.append([*cell.labels.values(), *figures, Styled(", ".join(marks), "red") if marks else ""])
    header = ["runs", "file", *(_SHORT_TITLES[name] for name in _BESIDE), *(f"loss {_ARROWS[way]}" for way in losses)]
    return table([*_axes(shown.plan), *header, "marks"], rows, texts=len(shown.plan.axes))


def impairments(shown: Shown) -> str:
    """HTML: of each impairment what was asked for and what the emulator did; "" without any."""
    rows: list[list[Entry]] = []
    for cell in shown.plan.cells:
        records = [one for one in shown.counted if one["cell"] == cell.number]
        for field in [one for one in IMPAIRMENT_FIELDS if not one.startswith("measured_")] if records else []:
            asked = records[0].get(field)
            if asked and f"measured_{field}" in IMPAIRMENT_FIELDS:
                rows.append([*cell.labels.values(), *_wish_and_truth(field, asked, records)])
    if not rows:
        return ""
    header = [*_axes(shown.plan), "impairment", "asked", "median", "least", "most"]
    return table(header, rows, texts=len(shown.plan.axes) + 1)


def programs(shown: Shown) -> str:
    """HTML: the size and the speed of each program; "" where the plan is not about compilers."""
    if not any(name.startswith("clang_flags_") for name in shown.plan.axes):
        return ""
    rows: list[list[Entry]] = []
    for cell in shown.plan.cells:
        for program in _PROGRAMS if shown.results.design.emulated else _PROGRAMS[:2]:
            records = shown.of(cell)
            why = _no_program(records, program)
            values = [_median([one.get(f"{figure}_{program}") for one in records]) for figure in _FIGURES]
            entries = [words.number(value) if value is not None else Styled("null", "grey") for value in values]
            if why or any(value is not None for value in values):
                rows.append([*cell.labels.values(), program, *entries, why])
    header = [
        "program",
        "instructions",
        "walked by the verifier",
        "machine code (bytes)",
        "time per packet (ns)",
        "why",
    ]
    return table([*_axes(shown.plan), *header], rows, texts=len(shown.plan.axes) + 1)


def _no_program(records: Sequence[Record], program: str) -> str:
    if any(record.get(f"datapath_{program}") == "socket" for record in records):
        return "null: the socket datapath has no such program"
    if records and all(record.get(f"program_ns_{program}") is None for record in records):
        return "null: not measured"
    return ""


def _wish_and_truth(field: str, asked: float, records: Sequence[Record]) -> list[Entry]:
    name, _, way = field.rpartition("_")
    measured = [one[f"measured_{field}"] for one in records if one.get(f"measured_{field}") is not None]
    found = (_median(measured), min(measured), max(measured)) if measured else (None, None, None)
    said = [words.impairment(name, value) for value in (asked, *found)]
    return [f"{name} {_ARROWS[way]}", *said]


def _file_size(shown: Shown, cell: Cell) -> str:
    size_bytes = shown.results.design.sizes.get(cell.number, cell.size_bytes)
    if size_bytes is None:
        return words.UNKNOWN
    whole_mib, rest = divmod(size_bytes, 1 << 20)
    return f"{size_bytes / (1 << 20):,.1f}M" if whole_mib and rest else format_size(size_bytes)


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None


def _axes(plan: Plan) -> list[str]:
    return [axis.label for axis in plan.axes.values()]
