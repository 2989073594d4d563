# SPDX-License-Identifier: GPL-2.0-only
"""`towline lab compare` as it is typed: the comparison that is promised, stopped half way, and on a clean pair.

TOWLINE_FULL=1 has the promised one in full, with six repetitions of 200 Mbit/s at four losses: 40 minutes.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from pyroute2 import netns

from towline.lab import leftovers
from towline.lab.compare import comparison
from towline.lab.compare.comparison import Compared
from towline.lab.sweep.bench import WRONG_BYTES

pytestmark = [pytest.mark.acceptance, pytest.mark.usefixtures("namespaces")]

FULL = bool(os.environ.get("TOWLINE_FULL"))
PROMISED_S = 40 * 60
EXTENT = [] if FULL else ["--repetitions=1", "--size=2M", "--cap=4s"]
PATH = ("--rate=200mbit", "--delay=20ms", "--loss=0%,0.1%,1%,5%")


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "towline", "lab", "compare", *arguments]


def done(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, check=False)


def once_each(found: Compared) -> None:
    """Every run was made, none twice but for voids; whoever delivers a file delivered the right one."""
    asked = found.comparison
    last = Counter((one["repetition"], one["cell"]) for one in found.records if not one["void"])
    assert set(last.values()) <= {1}
    attempts = {(one["repetition"], one["cell"]) for one in found.records}
    assert len(attempts) == asked.runs
    assert [one["failed"] for one in found.records if one["failed"]] == []
    for one in found.records:
        if asked.all[one["contestant"]].delivers_file and not one["capped"]:
            assert one["verified"] is True, one


def test_compare__has_all_that_are_installed_at_four_losses(tmp_path: Path) -> None:
    began = time.monotonic()
    run = done(*PATH, f"--output={tmp_path}", *EXTENT)
    took_s = time.monotonic() - began
    assert run.returncode == 0, run.stderr
    found = comparison.read(tmp_path)
    once_each(found)
    assert len(found.comparison.contestants) + len(found.comparison.missing) == 10
    assert {"towline", "towline-socket", "tcp-cubic", "udp"} <= set(found.comparison.contestants)
    for cell in found.comparison.cells:
        assert cell.contestant.label in run.stdout
    # A busy machine voids runs; but not all three attempts of many.
    assert sum(map(len, found.counted.values())) >= 0.9 * found.comparison.runs
    by_pair = {(cell.loss, cell.contestant.name): cell for cell in found.comparison.cells}
    ratio = found.ratio(by_pair[0.01, "tcp-cubic"])
    assert ratio is not None
    assert ratio.ratio > 2  # losses slow down who takes them for congestion, and nobody else
    assert (tmp_path / "report.html").stat().st_size > 10_000
    if FULL:
        assert took_s < PROMISED_S
        assert ratio.n == found.comparison.repetitions == 6
        assert ratio.low is not None
        assert ratio.low > 2


def test_compare__of_a_clean_pair_has_offloads_on_and_off(tmp_path: Path) -> None:
    only = "towline,tcp-cubic,tcp-cubic-no-offloads,iperf3,iperf3-no-offloads"
    run = done("--size=8M", "--repetitions=1", f"--only={only}", f"--output={tmp_path}")
    assert run.returncode == 0, run.stderr
    found = comparison.read(tmp_path)
    once_each(found)
    offloads = {one["contestant"]: one["offloads"] for one in found.records if one["contestant"] != "towline"}
    assert offloads == {name: not name.endswith("-no-offloads") for name in offloads}
    assert WRONG_BYTES not in run.stderr


def test_compare__killed_half_way_and_started_again_repeats_nothing(tmp_path: Path) -> None:
    arguments = (
        *("--rate=100mbit", "--delay=2ms", "--loss=0%,1%", "--size=2M", "--repetitions=2", "--cap=4s"),
        *("--only=towline,tcp-cubic,udp", f"--output={tmp_path}"),
    )
    records = tmp_path / comparison.RECORDS
    with subprocess.Popen(command(*arguments), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as first:
        try:
            deadline = time.monotonic() + 300
            while not records.exists() or records.read_text().count("\n") < 5:
                assert first.poll() is None, first.communicate()
                assert time.monotonic() < deadline
                time.sleep(0.05)
        finally:
            first.send_signal(signal.SIGKILL)
        first.wait()
    before = [line for line in records.read_text().splitlines(keepends=True) if line.endswith("\n")]
    run = done(*arguments)
    assert run.returncode == 0, run.stderr
    assert "are there from an earlier start" in run.stderr
    assert records.read_text().startswith("".join(before))
    once_each(comparison.read(tmp_path))
    assert [name for name in netns.listnetns() if name.startswith(f"tl{first.pid}-")] == []
    assert leftovers.sweep() == []
