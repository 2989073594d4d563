# SPDX-License-Identifier: GPL-2.0-only
"""Results of sweeps that never were, for reports about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from towline.lab import record
from towline.lab.plans import plan
from towline.lab.plans.plan import Cell
from towline.lab.sweep import design, results
from towline.lab.sweep.design import Design
from towline.lab.sweep.results import Results

Record = dict[str, Any]
Fields = Callable[[Cell, int], Mapping[str, Any]]  # cell, repetition -> what is special about the run

ACK = """# plans/ack.toml: does acknowledging less often help, and until when?
duration = "2s"
repetitions = 8
seed = 7
baseline = { ack_every = 1 }
[settings]
sink = "memory"
[axes]
ack_every = [1, 4, 16]
loss = ["0%", "1%"]
[plot.goodput]
x = "ack_every"
y = "goodput_gbps"
line = "loss"
[plot.spread]
kind = "distribution"
x = "ack_every"
y = "rtt_us_p50"
[plot.rate]
kind = "series"
y = "goodput_gbps"
line = "ack_every"
"""
GOODPUT = {"1": 2.0, "4": 3.0, "16": 4.0}  # Gbit/s for each ack_every; a tenth less with loss


def ordinary(cell: Cell, repetition: int, *, base_gbps: float = 2.0) -> Record:
    """A good run of a cell, a little different in each block."""
    noise = np.random.default_rng([cell.number, repetition]).normal(1, 0.01)
    goodput = GOODPUT.get(cell.labels.get("ack_every", ""), base_gbps) * float(noise)
    loss = cell.settings.loss[0]
    goodput *= 1 - 10 * min(loss, 0.01)
    packets = 100_000
    return {
        **cell.settings.record_fields(),
        "environment": "veth",
        "level": "ethernet",
        "transmit": "live",
        "xdp_mode_sender": "native",
        "xdp_mode_receiver": "native",
        "mtu": 1500,
        "file_bytes": packets * 1440,
        "goodput_gbps": goodput,
        "seconds": packets * 1440 * 8e-9 / goodput,
        "total_seconds": packets * 1440 * 8e-9 / goodput + 0.01,
        "packets": packets,
        "packets_sent": packets + round(packets * loss),
        "retransmissions": round(packets * loss),
        "measured_loss_forward": loss * 1.02 if loss else None,
        "rtt_us_p50": 200 * float(noise),
        "rtt_us_p99": 900.0,
        "cpu_seconds_per_gib": 1.5,
        "canary": 0.01,
        "load": 0.02,
        "stolen": 0.0,
        "verified": True,
        "void": False,
        "kernel": "6.12.0",
        "cpu": "a processor",
        "version": "0.1.0",
    }


def made_up(
    folder: Path,
    text: str = ACK,
    *,
    special: Fields = lambda cell, repetition: {},
    extra: tuple[Record, ...] = (),
    base: Callable[[Cell, int], Record] = ordinary,
    name: str = "ack",
    series: bool = True,
    **of_design: Any,
) -> Results:
    """The folder of a sweep, and what `results.read` says of it.

    `special`: fields of a run that are not as usual; `extra`: further records, of earlier or later attempts.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = plan.parse(text, f"plans/{name}.toml")
    chosen: dict[str, Any] = {
        "seed": 7,
        "repetitions": found.repetitions,
        "quick": False,
        "emulated": found.emulated,
        "started": "2026-01-02T03:04:05+00:00",
        "machine": {"kernel": "6.12.0", "cpu": "a processor", "cpus": "2", "clang": "19.1.7"},
        "plan": f"plans/{name}.toml",
        "ceiling_gbps": 7.5 if found.emulated else None,
    }
    made = Design(**(chosen | of_design))
    (folder / results.PLAN).write_text(text)
    results.write_design(folder, made)
    records = [
        complete(
            base(cell, repetition) | dict(special(cell, repetition)),
            found.name,
            cell,
            repetition,
            place(found, cell, repetition),
        )
        for repetition in range(made.repetitions)
        for cell in found.cells
        if cell.number not in made.refused
    ]
    write_lines(folder / results.RECORDS, [*records, *extra])
    if series:
        write_lines(folder / results.SERIES, [samples(one) for one in records])
    return results.read(folder)


def place(found: plan.Plan, cell: Cell, repetition: int) -> int:
    """Where a run stands in the whole sweep."""
    cells = [one.number for one in found.cells]
    return repetition * len(cells) + design.order(7, cells, repetition).index(cell.number)


def complete(fields: Mapping[str, Any], name: str, cell: Cell, repetition: int, order: int) -> Record:
    """A record with all its fields."""
    who = {"plan": name, "cell": cell.number, "repetition": repetition, "order": order, "attempt": 0}
    return dict.fromkeys(record.FIELDS) | who | dict(fields)


def samples(one: Mapping[str, Any]) -> Record:
    """A line of series.jsonl: twenty samples of each side."""
    goodput = one["goodput_gbps"] or 1.0
    sides = ("sender", "receiver")
    return {
        "run": results.run_number(one["order"], one["attempt"]),
        "repetition": one["repetition"],
        "cell": one["cell"],
        "attempt": one["attempt"],
        "side": [side for side in sides for _ in range(20)],
        "seconds": [number * 0.05 for _ in sides for number in range(20)],
        "done_bytes": [number * 1_000_000 for _ in sides for number in range(20)],
        "goodput_gbps": [None if not number else goodput for _ in sides for number in range(20)],
        "packets_sent": [number * 700 if side == "sender" else None for side in sides for number in range(20)],
        "retransmissions": [number if side == "sender" else None for side in sides for number in range(20)],
        "rtt_us": [200 if side == "sender" else None for side in sides for number in range(20)],
        "window_fill": [0.5 if side == "sender" else None for side in sides for number in range(20)],
        "ring_fill": [0.25 if side == "receiver" else None for side in sides for number in range(20)],
    }


def write_lines(path: Path, lines: list[Record]) -> None:
    path.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
