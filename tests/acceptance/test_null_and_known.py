# SPDX-License-Identifier: GPL-2.0-only
"""The laboratory tells nothing from something: no difference between two identical arms, and the one that is known."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.acceptance, pytest.mark.usefixtures("namespaces")]

FOLDER = Path(__file__).parents[2] / "plans"
BLOCKS_LEAST = 20
KNOWN_NS = 1500  # of plans/known.toml


def towline(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "towline", "lab", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def compared(plan: str, folder: Path) -> dict[str, Any]:
    """How the report compares the second cell with the first, in the figure of the plan's first plot."""
    towline("sweep", str(FOLDER / f"{plan}.toml"), f"--output={folder}")
    _, other = json.loads(towline("report", str(folder), "--json"))["cells"]
    found: dict[str, Any] = next(iter(other["measures"].values()))["compared"]
    print(plan, found)
    assert found["blocks"] >= BLOCKS_LEAST
    return found


def test_null__no_difference_is_found(tmp_path: Path) -> None:
    found = compared("null", tmp_path)
    assert found["verdict"] == "no difference found"
    assert found["ratio_low"] <= 1 <= found["ratio_high"]


def test_known__the_difference_is_found_and_lies_within_its_interval(tmp_path: Path) -> None:
    found = compared("known", tmp_path)
    assert found["verdict"] == "higher"
    assert found["difference_low"] <= KNOWN_NS <= found["difference_high"]
