# SPDX-License-Identifier: GPL-2.0-only
"""The folder of a sweep: which runs count, what is finished, and Parquet whose types do not depend on luck."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from tests.lab.sweep.sweeps import BLOCKS, CELLS, FakeBench, carried_out, made_up
from towline.errors import FileError, SettingsError
from towline.lab.record import FIELDS
from towline.lab.run import Run
from towline.lab.sweep import results
from towline.settings import Settings


def attempt(number: int = 0, **fields: Any) -> dict[str, Any]:
    one = {"repetition": 0, "cell": 1, "attempt": number, "void": False, "verified": True, "refused": None}
    return one | fields


@pytest.mark.parametrize(
    ("records", "done"),
    [
        ([], False),
        ([attempt()], True),
        ([attempt(void=True)], False),
        ([attempt(void=True), attempt(1)], True),
        ([attempt(void=True), attempt(1, void=True), attempt(2, void=True)], True),
        ([attempt(verified=False)], True),
    ],
)
def test_finished__carried_out_or_void_too_often(records: list[dict[str, Any]], done: bool) -> None:
    assert results.finished(records) == ({(0, 1)} if done else set())


@pytest.mark.parametrize("fields", [{"void": True}, {"verified": False}, {"verified": None}, {"refused": "clang"}])
def test_counts__only_what_is_good(fields: dict[str, Any]) -> None:
    assert results.counts(attempt())
    assert not results.counts(attempt(**fields))


def test_counted__has_each_run_once(tmp_path: Path) -> None:
    found = carried_out(tmp_path, FakeBench(lambda run, number: made_up(run, void=number % 5 == 4)))
    assert len(found.voids()) >= 2
    keys = [(one["repetition"], one["cell"]) for one in found.counted()]
    assert len(keys) == len(set(keys)) == CELLS * BLOCKS
    assert len(found.records) == CELLS * BLOCKS + len(found.voids())


def test_read__gives_what_the_sweep_gave(tmp_path: Path) -> None:
    done = carried_out(tmp_path, FakeBench(), repetitions=2)
    found = results.read(tmp_path)
    assert found.records == done.records
    assert (found.plan.name, found.plan.repetitions, found.design.repetitions) == ("tiny", 2, 2)


@pytest.mark.parametrize("text", [None, "{"])
def test_read__refuses_what_is_no_sweep(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / results.DESIGN).write_text(text)
    with pytest.raises((SettingsError, FileError), match=r"no results|damaged"):
        results.read(tmp_path)


def test_gather__writes_both_tables(tmp_path: Path) -> None:
    carried_out(tmp_path, FakeBench())
    records = pyarrow.parquet.read_table(tmp_path / results.RECORDS_PARQUET)
    assert records.column_names == [*FIELDS, "axis_ack_every", "axis_lanes"]
    assert records.num_rows == CELLS * BLOCKS
    assert set(records.column("axis_ack_every").to_pylist()) == {"1", "4"}
    told = pyarrow.parquet.read_table(tmp_path / results.SERIES_PARQUET)
    assert told.num_rows == 4 * CELLS * BLOCKS
    expected = {results.run_number(order, 0) for order in range(CELLS * BLOCKS)}
    assert set(told.column("run").to_pylist()) == expected


def test_records_table__types_do_not_depend_on_what_is_null(tmp_path: Path) -> None:
    found = carried_out(tmp_path, FakeBench())
    full = dict.fromkeys(FIELDS, 1) | dict.fromkeys(results._TEXTS, "x") | dict.fromkeys(results._FLAGS, True)
    empty = dict.fromkeys(FIELDS) | {"cell": 0}
    schemas = []
    for one in (full, empty):
        found.records[:] = [one]
        schemas.append(results.records_table(found).schema)
    assert schemas[0] == schemas[1]


def test_kinds__are_of_fields_that_there_are() -> None:
    assert set(results._KINDS) <= set(FIELDS)
    made = made_up(Run(source=1, settings=Settings()))
    texts = {name for name, value in made.items() if isinstance(value, str)}
    assert texts <= set(results._TEXTS)
