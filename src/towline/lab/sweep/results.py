# SPDX-License-Identifier: GPL-2.0-only
"""The folder of a sweep: plan, design, records and time series as they come, and all of it as Parquet at the end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from towline.errors import FileError, SettingsError
from towline.lab import journal
from towline.lab.arrow import arrow, parquet
from towline.lab.plans import plan
from towline.lab.plans.plan import Plan
from towline.lab.record import FIELDS
from towline.lab.sweep import series
from towline.lab.sweep.design import Design

if TYPE_CHECKING:
    import pyarrow

PLAN, DESIGN, RECORDS, SERIES = "plan.toml", "design.json", "records.jsonl", "series.jsonl"
RECORDS_PARQUET, SERIES_PARQUET = "records.parquet", "series.parquet"
ATTEMPTS_MOST = 3  # of one run: two more, if the first did not count

# What a column of records.parquet holds, even where every record says null; all others are float64.
_TEXTS = (
    *("plan", "environment", "level", "datapath_sender", "datapath_receiver", "delivery", "transmit"),
    *("xdp_mode_sender", "xdp_mode_receiver", "clang_flags_sender", "clang_flags_receiver", "clang_flags_emulator"),
    *("policy", "swap", "sink", "short", "accounting", "failed", "refused", "void_reason", "kernel", "cpu", "version"),
)
_FLAGS = ("checksum", "verified", "void")
_WHOLE = (
    *("cell", "attempt", "repetition", "order", "seed", "payload_size", "ack_every", "ring_size", "pipelining"),
    *("lanes", "window", "block_bytes", "mtu", "redundancy", "file_bytes", "short_records", "packets_sent", "packets"),
    *(
        "retransmissions",
        "redundant_copies",
        "useless_retransmissions",
        "acks",
        "nacks",
        "placed",
        "duplicates",
        "corrupt",
    ),
    *("ring_full", "out_of_window", "contended", "malformed"),
    *("frames_forward", "frames_backward", "dropped_forward", "dropped_backward"),
    *("control_forward", "control_backward", "captured_forward", "captured_backward"),
    *("carried_forward", "carried_backward", "swaps"),
)
_KINDS = {**dict.fromkeys(_TEXTS, "string"), **dict.fromkeys(_FLAGS, "bool_"), **dict.fromkeys(_WHOLE, "int64")}


def run_number(order: int, attempt: int) -> int:
    """The column `run` of the time series, from `order` and `attempt` of a record."""
    return order * 10 + attempt


@dataclass(frozen=True, kw_only=True)
class Results:
    """What a sweep has found so far. `records`: all attempts, in the order in which they were made."""

    folder: Path
    plan: Plan
    design: Design
    records: list[dict[str, Any]]

    @cached_property
    def series(self) -> pyarrow.Table | None:
        """The time series of all attempts (columns: series.COLUMNS); None where there are none."""
        runs = (run_number(record["order"], record["attempt"]) for record in self.records)
        found = series.table(journal.lines(self.folder / SERIES), runs)
        return found if len(found) else None

    def counted(self) -> list[dict[str, Any]]:
        """One record for each repetition and cell: its last attempt, if that `counts`."""
        return [one for one in last_attempts(self.records).values() if counts(one)]

    def voids(self) -> list[dict[str, Any]]:
        """All attempts that were void."""
        return [record for record in self.records if record["void"]]


def counts(record: Mapping[str, Any]) -> bool:
    """Whether a run may stand in a plot: not void, not refused, and the file arrived."""
    return bool(not record["void"] and record["verified"] and record["refused"] is None)


def last_attempts(records: Iterable[dict[str, Any]]) -> dict[tuple[int, int], dict[str, Any]]:
    """By (repetition, cell): the attempt that stands for it."""
    found: dict[tuple[int, int], dict[str, Any]] = {}
    for record in records:
        key = record["repetition"], record["cell"]
        if key not in found or record["attempt"] >= found[key]["attempt"]:
            found[key] = record
    return found


def finished(records: Iterable[dict[str, Any]]) -> set[tuple[int, int]]:
    """The (repetition, cell) that are not to be run again: carried out, or void as often as is allowed."""
    last = last_attempts(records)
    return {key for key, one in last.items() if not one["void"] or one["attempt"] + 1 >= ATTEMPTS_MOST}


def read(folder: Path) -> Results:
    """What is in a sweep's folder, also while the sweep goes on; SettingsError where it is no such folder."""
    design = read_design(folder)
    if design is None:
        raise SettingsError(f"{folder} holds no results: it has no {DESIGN}; `towline lab sweep` makes such folders")
    text = (folder / PLAN).read_text(encoding="utf-8")
    found = plan.parse(text, design.plan, quick=design.quick, repetitions=design.repetitions)
    return Results(folder=folder, plan=found, design=design, records=list(journal.lines(folder / RECORDS)))


def read_design(folder: Path) -> Design | None:
    """The design in a folder; None: no sweep was begun there."""
    path = folder / DESIGN
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=Design)
    except msgspec.DecodeError as error:
        raise FileError(path, f"is damaged ({error}): remove the folder, or take another --output") from None


def write_design(folder: Path, design: Design) -> None:
    """Whole or not at all: whoever is killed meanwhile leaves the one before."""
    path = folder / DESIGN
    new = path.with_suffix(".new")
    new.write_bytes(msgspec.json.format(msgspec.json.encode(design), indent=2) + b"\n")
    new.replace(path)


def gather(folder: Path) -> Results:
    """Write records.parquet and series.parquet from what the folder holds."""
    found = read(folder)
    pq = parquet()
    pq.write_table(records_table(found), folder / RECORDS_PARQUET)
    if found.series is not None:
        pq.write_table(found.series, folder / SERIES_PARQUET)
    return found


def records_table(found: Results) -> pyarrow.Table:
    """All records: the columns FIELDS, then `axis_NAME` for each axis with the cell's value as people write it."""
    pa = arrow()
    kinds = {name: _KINDS.get(name, "float64") for name in FIELDS}
    columns: dict[str, list[Any]] = {name: [one.get(name) for one in found.records] for name in FIELDS}
    for axis in found.plan.axes:
        kinds[f"axis_{axis}"] = "string"
        columns[f"axis_{axis}"] = [found.plan.cells[one["cell"]].labels[axis] for one in found.records]
    return pa.table(columns, schema=pa.schema([(name, getattr(pa, kind)()) for name, kind in kinds.items()]))
