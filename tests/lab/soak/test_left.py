# SPDX-License-Identifier: GPL-2.0-only
"""What is left behind is found, and a worker that grows is told from one that is warming up."""

from __future__ import annotations

import subprocess

import pytest

from towline.lab import leftovers
from towline.lab.soak import left
from towline.lab.soak.left import GROWTH_KIB, LIFE_LEAST, RECENT, Growth, Left
from towline.lab.soak.worker import Over

ENOUGH = LIFE_LEAST


def lived(rss_kib: list[int], files: list[int]) -> str | None:
    """What is said at the end of a worker that held on to so much after each transfer."""
    growth = Growth()
    for rss, count in zip(rss_kib[:-1], files[:-1], strict=True):
        assert growth.note("w", Over(files=count, bpf_objects=0, rss_kib=rss), last=False) is None
    return growth.note("w", Over(files=files[-1], bpf_objects=0, rss_kib=rss_kib[-1]), last=True)


def test_growth__warming_up_is_none() -> None:
    warm_up = ENOUGH // 3
    assert lived([50_000] * warm_up + [200_000] * (ENOUGH - warm_up), [4] * ENOUGH) is None
    assert lived([50_000 + 1000 * n for n in range(ENOUGH - 1)], [4] * (ENOUGH - 1)) is None  # too short to tell


def test_growth__of_memory_is_told() -> None:
    said = lived([50_000 + GROWTH_KIB // 50 * n for n in range(ENOUGH)], [4] * ENOUGH)
    assert said is not None
    assert "has grown by" in said


def test_growth__of_open_files_is_told() -> None:
    assert lived([50_000] * ENOUGH, [4] * (ENOUGH - RECENT) + [5] * RECENT) == (
        f"w has 1 files more open after {ENOUGH} transfers"
    )


def test_growth__a_new_worker_begins_anew() -> None:
    growth = Growth()
    for rss_kib in (50_000, 50_000 + 2 * GROWTH_KIB):
        for number in range(ENOUGH):
            over = Over(files=4, bpf_objects=0, rss_kib=rss_kib)
            assert growth.note("w", over, last=number == ENOUGH - 1) is None
    assert growth.all_ended() == []


@pytest.mark.usefixtures("namespaces")
def test_behind__finds_what_is_there() -> None:
    before = Left()
    (name,) = leftovers.namespace_names("a")
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        with leftovers.temporary_folder(1) as folder:
            assert before.behind() == [f"namespace {name}", f"folder {folder}"]
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)
    assert before.behind() == []


@pytest.mark.usefixtures("namespaces")
def test_behind__finds_a_program_that_nobody_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Left()
    monkeypatch.setattr(left, "_FREED_S", 0.0)
    monkeypatch.setattr(left, "loaded_programs", lambda: {1 << 31: "receiver", 2 << 31: "somebody_else"})
    assert before.behind() == [f"program {1 << 31} receiver"]
    monkeypatch.setattr(left, "held_programs", lambda: {1 << 31})
    assert before.behind() == []
