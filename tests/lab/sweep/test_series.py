# SPDX-License-Identifier: GPL-2.0-only
"""Time series: times from the sender's first sample, rates of intervals, and one table of all runs."""

from __future__ import annotations

import pytest

from towline.lab.sweep import series
from towline.lab.sweep.series import Series
from towline.transfer.events import Note, Sample

RUN = {"run": 70, "repetition": 1, "cell": 2, "attempt": 0}


def sample(side: str, at_us: int, done_bytes: int, **known: object) -> Sample:
    return Sample(side=side, at_us=at_us, done_bytes=done_bytes, **known)  # type: ignore[arg-type]


def collected(*samples: Sample) -> Series:
    found = Series()
    for one in samples:
        found(one)
    return found


def test_series__counts_time_from_the_senders_first() -> None:
    found = collected(sample("receiver", 990, 0), sample("sender", 1_000, 0), sample("sender", 51_000, 9))
    line = found.line(**RUN)
    assert line["side"] == ["sender", "sender", "receiver"]
    assert line["seconds"] == pytest.approx([0, 0.05, -0.00001])


def test_series__gives_each_sides_rate_of_the_interval() -> None:
    found = collected(
        sample("sender", 0, 0),
        sample("receiver", 10, 0),
        sample("sender", 50_000, 6_250_000),
        sample("receiver", 50_010, 12_500_000),
        sample("sender", 150_000, 6_250_000),
    )
    assert found.line(**RUN)["goodput_gbps"] == pytest.approx([None, 1.0, 0.0, None, 2.0])


def test_series__ignores_other_events_and_may_be_empty() -> None:
    found = Series()
    found(Note(text="x"))
    assert found.line(**RUN)["side"] == []


def test_table__has_a_row_for_each_sample_and_types_where_all_is_null() -> None:
    line = collected(sample("sender", 0, 0), sample("sender", 50_000, 5, packets_sent=3)).line(**RUN)
    table = series.table([line], [70])
    assert table.column_names == list(series.COLUMNS)
    assert table.column("packets_sent").to_pylist() == [None, 3]
    assert table.column("cell").to_pylist() == [2, 2]
    assert [str(table.schema.field(name).type) for name in ("ring_fill", "rtt_us", "side")] == [
        "double",
        "int64",
        "string",
    ]


def test_table__takes_the_last_line_of_a_run_and_no_run_without_record() -> None:
    before, after = collected(sample("sender", 0, 1)).line(**RUN), collected(sample("sender", 0, 2)).line(**RUN)
    orphan = collected(sample("sender", 0, 3)).line(**RUN | {"run": 80})
    assert series.table([before, orphan, after], [70]).column("done_bytes").to_pylist() == [2]


def test_table__of_nothing_has_its_columns() -> None:
    assert series.table([], []).column_names == list(series.COLUMNS)
