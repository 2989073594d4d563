# SPDX-License-Identifier: GPL-2.0-only
"""The record of a yardstick: one shape, honest numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from towline.errors import FileError
from towline.lab import machine, record
from towline.lab.emulator.impairments import Counted, Impairment, Impairments, Report
from towline.lab.yardsticks import job
from towline.lab.yardsticks.job import Job


def seen(**changes: Any) -> job.Seen:
    facts: dict[str, Any] = {
        "tool": "t",
        "sink": "memory",
        "load": 0.5,
        "begin": machine.CpuTime(busy_s=10.0, stolen_s=0.0, wall_s=100.0),
        "end": machine.CpuTime(busy_s=14.0, stolen_s=0.0, wall_s=104.0),
        "received_bytes": 2 << 30,
        "seconds": 4.0,
        "frames_sent": 7,
    }
    return job.Seen(**{**facts, **changes})


def test_record__has_the_fields_in_their_order_and_the_sums() -> None:
    found = job.record("iperf3", Job(source=5, seed=8, offloads=False), seen())
    assert tuple(found) == job.FIELDS
    assert (found["yardstick"], found["seed"], found["offloads"], found["frames_sent"]) == ("iperf3", 8, False, 7)
    assert found["goodput_gbps"] == pytest.approx((2 << 30) * 8e-9 / 4)
    assert found["cpu_seconds"] == pytest.approx(2.0)  # 4 s were busy, and half a CPU was before
    assert found["cpu_seconds_per_gib"] == pytest.approx(1.0)
    assert (found["verified"], found["peak_rss_mib"]) == (None, None)


def test_record__what_was_not_measured_is_none() -> None:
    found = job.record("tcp", Job(source=Path("f")), seen(load=1.5))  # it was busier before than during
    assert (found["seed"], found["cpu_seconds"], found["cpu_seconds_per_gib"]) == (None, None, None)
    nothing = job.record("tcp", Job(source=0), seen(received_bytes=0, seconds=0.0))
    assert (nothing["goodput_gbps"], nothing["cpu_seconds_per_gib"]) == (None, None)


def test_record__what_the_emulator_did_and_that_it_failed() -> None:
    asked = Impairments(forward=Impairment(delay_us=1000, loss=0.1))
    fine = Report(forward=Counted(carried=100, lost=12))
    found = job.record("iperf3", Job(source=5, impairments=asked), seen(emulated=fine))
    assert (found["loss_forward"], found["measured_loss_forward"], found["delay_forward"]) == (0.1, 0.12, 1000)
    assert (found["void"], found["offloads"]) == (False, False)  # no frame is longer than the wire takes
    failed = seen(emulated=Report(forward=Counted(no_room=3)))
    found = job.record("iperf3", Job(source=5, impairments=asked), failed)
    assert found["void"]
    assert "3 no_room" in found["void_reason"]


def test_fields__what_a_transfer_has_too_has_the_same_name() -> None:
    own = {"yardstick", "tool", "offloads", "congestion", "frames_sent", "capped", "loss"}
    assert set(job.FIELDS) - set(record.FIELDS) == own


def test_source_bytes__of_a_file_and_of_none(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    assert (Job(source=9).source_bytes, Job(source=tmp_path / "f").source_bytes) == (9, 3)
    with pytest.raises(FileError, match="No such file"):
        assert Job(source=tmp_path / "none").source_bytes
