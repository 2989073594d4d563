# SPDX-License-Identifier: GPL-2.0-only
"""The machine: its processors' time, its name."""

from __future__ import annotations

import os

from towline.lab import machine


def test_cpu_time__a_busy_loop_is_seen() -> None:
    before = machine.cpu_time()
    while machine.cpu_time().wall_s - before.wall_s < 0.2:
        pass
    spent = machine.cpu_time() - before
    assert spent.busy_s >= 0.1
    assert 0.2 <= spent.wall_s < 5.0


def at(wall_s: float, busy_s: float, stolen_s: float = 0.0) -> machine.CpuTime:
    return machine.CpuTime(wall_s=wall_s, busy_s=busy_s, stolen_s=stolen_s)


def test_costs__is_what_was_used_beyond_the_baseline() -> None:
    costs = machine.costs(at(10.0, 5.0), at(12.0, 8.0), load=0.25)
    assert (costs["cpu_seconds"], costs["load"], costs["void"]) == (2.5, 0.25, False)


def test_costs__what_could_not_be_measured_is_none() -> None:
    assert machine.costs(at(10.0, 5.0), at(10.05, 5.05), load=0.0)["cpu_seconds"] is None
    assert machine.costs(at(10.0, 5.0), at(12.0, 5.1), load=0.5)["cpu_seconds"] is None


def test_costs__time_that_the_host_took_voids_a_run() -> None:
    costs = machine.costs(at(10.0, 5.0), at(11.0, 6.0, stolen_s=0.5 * (os.cpu_count() or 1)), load=0.0)
    assert (costs["stolen"], costs["void"]) == (0.5, True)
    assert "50%" in costs["void_reason"]


def test_describe__names_kernel_and_cpu() -> None:
    assert all(machine.describe().values())
