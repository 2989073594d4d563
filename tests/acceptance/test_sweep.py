# SPDX-License-Identifier: GPL-2.0-only
"""Sweeps as they are typed: killed half way and started again, interrupted, and every plan to its end.

TOWLINE_FULL=1 has the one that is killed in full: 560 runs, more than half an hour.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pyroute2 import netns

from towline.lab import leftovers
from towline.lab.sweep import results

pytestmark = [pytest.mark.acceptance, pytest.mark.usefixtures("namespaces")]

FOLDER = Path(__file__).parents[2] / "plans"
PLANS = sorted(FOLDER.glob("*.toml"))
EXTENT = [] if os.environ.get("TOWLINE_FULL") else ["--quick"]
PATIENCE_S = 600.0


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "towline", "lab", *arguments]


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(command(*arguments), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as sweep:
        try:
            yield sweep
        finally:
            sweep.kill()


def lines(folder: Path) -> list[str]:
    """Whole lines of the records so far."""
    path = folder / results.RECORDS
    text = path.read_text() if path.exists() else ""
    return [line for line in text.splitlines(keepends=True) if line.endswith("\n")]


def wait_for(folder: Path, count: int, sweep: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + (3600 if not EXTENT else PATIENCE_S)
    while len(lines(folder)) < count:
        assert sweep.poll() is None, sweep.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def of(pid: int) -> list[str]:
    return [name for name in netns.listnetns() if name.startswith(f"tl{pid}-")]


def test_sweep__killed_half_way_and_started_again_repeats_nothing(tmp_path: Path) -> None:
    plan = str(FOLDER / "ack.toml")
    arguments = ("sweep", plan, *EXTENT, f"--output={tmp_path}")
    with running(*arguments) as sweep:
        wait_for(tmp_path, 1, sweep)
        begun = results.read(tmp_path)
        runs = (len(begun.plan.cells) - len(begun.design.refused)) * begun.plan.repetitions
        wait_for(tmp_path, runs // 2, sweep)
        sweep.send_signal(signal.SIGKILL)
        sweep.wait()
    before = lines(tmp_path)
    assert runs // 2 <= len(before) < runs

    done = subprocess.run(command(*arguments), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "are there from an earlier start" in done.stderr
    assert lines(tmp_path)[: len(before)] == before
    found = results.read(tmp_path)
    attempts = Counter((one["repetition"], one["cell"], one["attempt"]) for one in found.records)
    assert set(attempts.values()) == {1}
    counted = Counter((one["repetition"], one["cell"]) for one in found.counted())
    assert set(counted.values()) <= {1}
    void = [one for one in found.voids() if one["attempt"] == results.ATTEMPTS_MOST - 1]
    failed = [one for one in found.records if one["failed"]]
    assert len(counted) + len(void) + len(failed) == runs
    assert found.series is not None
    assert of(sweep.pid) == []

    report = subprocess.run(command("report", str(tmp_path)), capture_output=True, text=True, check=False)
    assert report.returncode == 0, report.stderr
    assert (tmp_path / "report.html").stat().st_size > 10_000


def test_sweep__ctrl_c_leaves_nothing_but_what_was_done(tmp_path: Path) -> None:
    with running("sweep", str(FOLDER / "null.toml"), "--quick", f"--output={tmp_path}") as sweep:
        wait_for(tmp_path, 1, sweep)
        sweep.send_signal(signal.SIGINT)
        _, told = sweep.communicate(timeout=60)
    assert sweep.returncode == 128 + signal.SIGINT
    assert "stopped: " in told
    assert "To go on: towline lab sweep" in told
    assert of(sweep.pid) == []
    assert leftovers.sweep() == []
    assert len(results.read(tmp_path).records) == len(lines(tmp_path))


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.stem)
def test_sweep__every_plan_runs_to_its_end(tmp_path: Path, plan: Path) -> None:
    done = subprocess.run(
        command("sweep", str(plan), "--quick", f"--output={tmp_path}"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = results.read(tmp_path)
    assert [one["failed"] for one in found.records if one["failed"]] == []
    assert [one["accounting"] for one in found.records if one["accounting"]] == []
    cells = {one["cell"] for one in found.counted()} | set(found.design.refused)
    if len(found.voids()) < 3:  # a busy machine is no reason to fail
        assert cells == {cell.number for cell in found.plan.cells}
    assert (tmp_path / results.RECORDS_PARQUET).exists()
    assert (tmp_path / results.SERIES_PARQUET).exists()
