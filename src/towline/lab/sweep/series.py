# SPDX-License-Identifier: GPL-2.0-only
"""The time series of runs: what both sides told every 50 ms, collected, kept and made into a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from towline.lab.arrow import arrow
from towline.transfer.events import Event, Sample

if TYPE_CHECKING:
    import pyarrow

RUN_COLUMNS = ("run", "repetition", "cell", "attempt")  # one value for each line of the journal
_TYPES: Mapping[str, str] = {
    **dict.fromkeys(RUN_COLUMNS, "int64"),
    "side": "string",
    "seconds": "float64",  # since the sender's first sample: a receiver's first may be a little before
    "done_bytes": "int64",
    "goodput_gbps": "float64",  # since the side's sample before
    "packets_sent": "int64",
    "retransmissions": "int64",
    "rtt_us": "int64",
    "window_fill": "float64",
    "ring_fill": "float64",
    "program_version": "int64",
}
COLUMNS: tuple[str, ...] = tuple(_TYPES)
_TOLD = ("done_bytes", "packets_sent", "retransmissions", "rtt_us", "window_fill", "ring_fill", "program_version")


class Series:
    """Collects the samples of one run; it may be given every event."""

    def __init__(self) -> None:
        self._samples: list[Sample] = []

    def __call__(self, event: Event) -> None:
        """See one event."""
        if isinstance(event, Sample):
            self._samples.append(event)

    def line(self, *, run: int, repetition: int, cell: int, attempt: int) -> dict[str, Any]:
        """A line of the journal: who it is, and a list for each column; both sides, each in the order of time."""
        ours = sorted(self._samples, key=lambda one: (one.side != "sender", one.at_us))
        began_us = ours[0].at_us if ours else 0  # the sender's first, if it told any
        columns: dict[str, list[Any]] = {name: [getattr(one, name) for one in ours] for name in _TOLD}
        return {
            **dict(zip(RUN_COLUMNS, (run, repetition, cell, attempt), strict=True)),
            "side": [one.side for one in ours],
            "seconds": [(one.at_us - began_us) / 1e6 for one in ours],
            "goodput_gbps": _goodput_gbps(ours),
            **columns,
        }


def _goodput_gbps(samples: list[Sample]) -> list[float | None]:
    """Of the interval that ends with each sample; None for a side's first."""
    rates: list[float | None] = [None] * min(1, len(samples))
    for before, after in pairwise(samples):
        spent_us = after.at_us - before.at_us
        known = before.side == after.side and spent_us > 0
        rates.append((after.done_bytes - before.done_bytes) * 8e-3 / spent_us if known else None)
    return rates


def table(journal: Iterable[Mapping[str, Any]], runs: Iterable[int]) -> pyarrow.Table:
    """All rows (columns: COLUMNS) of these runs; of a run that was begun twice, those of its last line."""
    wanted = set(runs)
    found = {line["run"]: line for line in journal if line["run"] in wanted}
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for _, line in sorted(found.items()):
        rows = len(line["side"])
        for name in COLUMNS:
            unknown = [None] * rows  # to the version that has written this
            columns[name] += [line[name]] * rows if name in RUN_COLUMNS else line.get(name, unknown)
    pa = arrow()
    return pa.table(columns, schema=pa.schema([(name, getattr(pa, kind)()) for name, kind in _TYPES.items()]))
