# SPDX-License-Identifier: GPL-2.0-only
"""What a sweep works with: runs between two looks at the canary, whose failures are results, and the ceiling."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import towline
from towline.errors import PermissionsError, RunError
from towline.lab import record, run
from towline.lab.bracket import bracketed
from towline.lab.canary import Canary
from towline.lab.emulator import ceiling
from towline.lab.run import Run
from towline.lab.sweep.headroom import Measure
from towline.transfer.events import OnEvent

Record = dict[str, Any]

WRONG_BYTES = "what arrived is not what was sent"


@dataclass(frozen=True, kw_only=True)
class Bench:
    """`run`: one run; `bracket`: that with what stands around it; `ceiling`: of the emulator, see ceiling.measure."""

    run: Callable[[Run, OnEvent], Record]
    bracket: Callable[[Callable[[], Record]], Record]
    ceiling: Measure


@contextmanager
def bench() -> Iterator[Bench]:
    """That of this machine."""
    with Canary() as canary:
        yield Bench(
            run=run.run,
            bracket=partial(bracketed, canary),
            ceiling=lambda impairments, mtu, frame_bytes: ceiling.measure(
                impairments, mtu=mtu, frame_bytes=frame_bytes
            ),
        )


def carry_out(bench: Bench, plan: Run, on_event: OnEvent) -> Record:
    """The record of a run; of one that failed, too: that a transfer fails is a result.

    Raises PermissionsError, and what else no run can do anything about.
    """
    try:
        found = bench.run(plan, on_event)
    except RunError as error:
        if error.exit_code == PermissionsError.exit_code:
            raise
        return _failure(plan, error)
    if found["verified"] is False:
        found["failed"] = WRONG_BYTES
    return found


def _failure(plan: Run, error: RunError) -> Record:
    """The record of a run that ended with an error."""
    known = {
        "environment": "veth",
        "level": run.level_of(plan.settings).name,
        "mtu": run.mtu_for(plan.settings),
        "file_bytes": plan.source_bytes,
        "version": towline.__version__,
        "verified": False,
        "void": False,
        "failed": str(error),
    }
    found: Record = record.merge(plan.settings.record_fields(), {}, {}, known)
    return found
