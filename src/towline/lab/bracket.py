# SPDX-License-Identifier: GPL-2.0-only
"""A run between two looks at the canary: void where the machine was another one afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from towline.lab.canary import Canary, Reading

CANARY_MOVED = 0.10  # with more, two runs were not made by the same machine


def bracketed(canary: Canary, carry_out: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The record that `carry_out` returns, of a run or of a yardstick, with `canary canary_memory_us
    canary_program_ns` (before), and void where the canary moved. A run that was void already keeps its reason.
    """
    before = canary.settled()
    record = carry_out()
    after = canary.since(before)
    record |= {
        "canary": after.moved(before),
        "canary_memory_us": before.memory_us,
        "canary_program_ns": before.program_ns,
    }
    if record["canary"] > CANARY_MOVED and not record.get("void"):
        record |= {"void": True, "void_reason": _reason(before, after)}
    return record


def _reason(before: Reading, after: Reading) -> str:
    """In words, of the work whose time has changed more."""
    changes = {
        "the memory copy": after.memory_us / before.memory_us - 1,
        "the empty BPF program": after.program_ns / before.program_ns - 1,
    }
    what, change = max(changes.items(), key=lambda one: abs(one[1]))
    return f"{what} took {abs(change):.0%} {'longer' if change > 0 else 'less'} after the run than before"
