# SPDX-License-Identifier: GPL-2.0-only
"""Under what conditions a sweep was made: the machine, the design, and what held for all of its runs."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from towline.lab.plans import plan as plans
from towline.lab.report import words
from towline.lab.report.page import details, listing, paragraph
from towline.lab.report.shown import Shown
from towline.lab.report.tables import Entry, Styled, facts
from towline.lab.sweep import headroom
from towline.lab.sweep.results import PLAN, RECORDS, RECORDS_PARQUET, SERIES_PARQUET, Results
from towline.quantities import format_duration, format_rate, format_size

Record = Mapping[str, Any]

# Fields of a record that say how it was made -> in words, and how their values are written.
_HELD: Mapping[str, tuple[str, Callable[[Any], str]]] = {
    "level": ("level", str),
    "datapath_sender": ("datapath, sender", str),
    "datapath_receiver": ("datapath, receiver", str),
    "delivery": ("delivery", str),
    "transmit": ("frames leave by", str),
    "xdp_mode_sender": ("XDP mode, sender", str),
    "xdp_mode_receiver": ("XDP mode, receiver", str),
    "payload_size": ("payload size", lambda value: f"{value:,} bytes"),
    "ack_every": ("ack every", lambda value: f"{value:,} packets"),
    "pipelining": ("pipelining", lambda value: f"{value:,} bursts"),
    "window": ("window", lambda value: f"{value:,} packets"),
    "ring_size": ("ring size", format_size),
    "lanes": ("lanes", str),
    "block_bytes": ("block", format_size),
    "mtu": ("MTU", lambda value: f"{value:,} bytes"),
    "checksum": ("checksum in each packet", lambda value: "on" if value else "off"),
    "redundancy": ("redundancy", str),
    "pace": ("pace", lambda value: format_rate(round(value))),
    "sink": ("sink", str),
    "consumer_delay_us": ("consumer delay", lambda value: f"{value:,} us"),
    "file_bytes": ("file", lambda value: f"{value:,} bytes"),
    **{
        f"clang_flags_{one}": (f"clang's flags, {one}", lambda value: value or "none")
        for one in ("sender", "receiver", "emulator")
    },
}


def section(shown: Shown) -> str:
    """HTML."""
    return "".join(
        (
            facts(_surroundings(shown)),
            details("What held for all runs", facts(held(shown.counted))) if shown.counted else "",
            details("The plan", listing(shown.plan.text)),
        )
    )


def raw_data(results: Results) -> str:
    """HTML: what the figures were made from, and how to make them again."""
    return "".join(
        (
            facts(
                {
                    RECORDS: "every attempt, a line of JSON each",
                    RECORDS_PARQUET: "the same as a table",
                    SERIES_PARQUET: "the time series of each run, every 50 ms",
                    f"{PLAN}, design.json": "the plan as it was carried out, and its seed, sizes and refusals",
                }
            ),
            paragraph("To make them again (a plan without a seed draws another one):"),
            listing(command(results)),
        )
    )


def command(results: Results) -> str:
    """What reproduces a sweep."""
    design, plan = results.design, results.plan
    said = plans.parse(plan.text, plan.path, quick=design.quick).repetitions
    options = ["--quick"] if design.quick else []
    options += [f"--repetitions={design.repetitions}"] if said != design.repetitions else []
    return shlex.join(["towline", "lab", "sweep", design.plan, *options])


def held(records: Sequence[Record]) -> dict[str, Entry]:
    """What all records have in common, in words; what differs or was never known is left out."""
    found: dict[str, Entry] = {}
    for name, (said, form) in _HELD.items():
        values = {record.get(name) for record in records}
        if len(values) == 1 and (value := values.pop()) is not None:
            found[said] = form(value)
    return found


def versions(records: Sequence[Record]) -> str | None:
    """Of towline."""
    return ", ".join(sorted({str(one["version"]) for one in records if one.get("version")})) or None


def _surroundings(shown: Shown) -> dict[str, Entry]:
    results, plan, design = shown.results, shown.plan, shown.results.design
    machine = design.machine
    cpus = f", {machine['cpus']} processors" if machine.get("cpus") else ""
    return {
        "machine": f"{machine.get('cpu') or 'unknown'}{cpus}",
        "kernel": machine.get("kernel"),
        "clang": machine.get("clang"),
        "towline": versions(results.records),
        "begun": design.started,
        "environment": plan.environment,
        "emulator": _emulator(shown) if design.emulated else None,
        "design": (
            f"{words.counted(len(plan.cells), 'cell')} x {words.counted(design.repetitions, 'block')}: each block runs "
            f"every cell once, in a fresh random order (seed {design.seed}), in fresh namespaces and programs; a "
            "block's cells meet the same chances; warm-up runs are discarded"
        ),
        "a run": (
            "the file's size is a cell's own"
            if plan.duration_us is None
            else f"about {format_duration(plan.duration_us)}: each cell's file is as large as that takes"
        ),
        "load before the runs": _spread(results.records, "load", 1.0, "processors busy with something else"),
        "stolen by the host": _spread(results.records, "stolen", 100.0, "% of the processors' time"),
        "canary": _spread(
            results.records,
            "canary",
            100.0,
            "% change of a fixed copy and a null program around a run; above 10 % is void",
        ),
        "quick": Styled(
            "yes: short runs, few values, few blocks. It shows that the plan works, not what is the case", "red"
        )
        if design.quick
        else None,
    }


def _emulator(shown: Shown) -> str:
    said = "all cells cross it, also those that it does nothing to"
    design, cells = shown.results.design, shown.plan.cells
    if design.ceiling_gbps is None:
        return said
    ends = {design.ceiling_gbps, max(design.ceilings.values(), default=design.ceiling_gbps)}
    said += f"; it passes {' to '.join(map(words.number, sorted(ends)))} Gbit/s of frames here"
    for keeps, where in ((True, "where it keeps them"), (False, "in passing, where it cannot be late")):
        shares = [
            headroom.reached_gbps(cell, record) / design.ceilings[cell.number]
            for cell in cells
            if headroom.keeps_frames(cell) == keeps and design.ceilings.get(cell.number)
            for record in shown.of(cell)
            if record.get("packets_sent") and record.get("seconds")
        ]
        if shares:
            said += f"; {where}, runs reached up to {max(shares):.0%} of that"
    return said


def _spread(records: Sequence[Record], name: str, scale: float, unit: str) -> str | None:
    values = [record[name] * scale for record in records if record.get(name) is not None]
    if not values:
        return None
    middle, most = float(np.median(values)), max(values)
    return f"{middle:.3g} in the median, at most {most:.3g} {unit}"
