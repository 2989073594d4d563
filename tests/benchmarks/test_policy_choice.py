# SPDX-License-Identifier: GPL-2.0-only
"""What the way to a policy costs: each way is measured; one that the kernel refuses is named."""

from __future__ import annotations

import pytest

from benchmarks.policy_choice import __main__ as policy_choice

pytestmark = pytest.mark.usefixtures("namespaces")  # it makes none, but loading programs needs root as well

ROUNDS = 1
REPLACED = "freplace"


def test_measure__every_way_in_every_round(capsys: pytest.CaptureFixture[str]) -> None:
    found = policy_choice.measure(ROUNDS)
    refused = capsys.readouterr().err.startswith(f"not measured, {REPLACED}: ")
    assert set(found.ways_ns) == {"nothing", "header", "function", "value"} | (set() if refused else {REPLACED})
    assert all(len(values) == ROUNDS and min(values) > 0 for values in found.ways_ns.values())
    assert found.packets > policy_choice.REPEAT
