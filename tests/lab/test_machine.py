# SPDX-License-Identifier: GPL-2.0-only
"""The machine: its processors' time, its name."""

from __future__ import annotations

from towline.lab import machine


def test_cpu_time__a_busy_loop_is_seen() -> None:
    before = machine.cpu_time()
    while machine.cpu_time().wall_s - before.wall_s < 0.2:
        pass
    spent = machine.cpu_time() - before
    assert spent.busy_s >= 0.1
    assert 0.2 <= spent.wall_s < 5.0


def test_describe__names_kernel_and_cpu() -> None:
    assert all(machine.describe().values())
