# SPDX-License-Identifier: GPL-2.0-only
"""The bench: its order, its report, its exit code; and (acceptance) the aims themselves."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__ as command
from benchmarks import bench
from benchmarks.contestants import CONTESTANTS, LARGER, VARIANTS, Course, Measure
from tests.conftest import ours
from towline.errors import FileError
from towline.lab import machine

ROOT = Path(__file__).parents[2]


@pytest.fixture
def turns() -> list[tuple[str, int, int]]:
    """Whose turn it was: who, in which round, with how many bytes."""
    return []


@pytest.fixture
def actors(turns: list[tuple[str, int, int]], monkeypatch: pytest.MonkeyPatch) -> dict[str, Measure]:
    """Contestants that only write down that it is their turn."""

    def actor(name: str) -> Measure:
        def measure(course: Course, number: int) -> dict[str, Any]:
            turns.append((name, number, course.size_bytes))
            ours = name.startswith("towline")
            return {
                "goodput_gbps": 10.0 if ours else 5.0,
                "seconds": 1.0,
                "cpu_seconds_per_gib": 0.5,
                "peak_rss_mib": 100.0 if ours else None,
                "file_bytes": course.size_bytes,
                "verified": True,
                "void": False,
                "load": 0.5,
            }

        return measure

    found = {name: actor(name) for name in CONTESTANTS}
    monkeypatch.setattr(bench, "VARIANTS", {name: actor(name) for name in VARIANTS})
    monkeypatch.setattr(bench, "CONTESTANTS", found)
    monkeypatch.setattr(machine, "BASELINE_SECONDS", 0.01)
    return found


@pytest.mark.usefixtures("actors")
def test_bench__everybody_once_a_round_then_the_larger_ones(turns: list[tuple[str, int, int]]) -> None:
    found = bench.bench(rounds=2, size_bytes=100, seed=7, say=lambda _: None)
    once, end = list(CONTESTANTS), 2 * len(CONTESTANTS) + len(LARGER)
    assert [name for name, _, _ in turns] == [*once, *once, *LARGER, *VARIANTS, *VARIANTS]
    assert [number for _, number, _ in turns[:end]] == [0] * len(once) + [1] * len(once) + [0] * len(LARGER)
    assert {size for name, _, size in turns[end - len(LARGER) : end]} == {400}
    assert {size for name, _, size in turns[end:]} == {50}
    assert [set(each) for each in found.variants] == [set(VARIANTS)] * 2
    assert (len(found.rounds), set(found.larger)) == (2, set(LARGER))
    assert (found.conditions["seeds"], found.conditions["rounds"]) == ([7, 8], 2)
    assert all(found.conditions[name] is not None for name in ("date", "kernel", "cpu", "load_before"))


@pytest.mark.usefixtures("actors")
@pytest.mark.parametrize(("part", "names"), [("speed", [*CONTESTANTS, *LARGER]), ("levels", list(VARIANTS))])
def test_main__one_part_only(
    part: str, names: list[str], turns: list[tuple[str, int, int]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["--rounds", "1", "--size", "1K", "--only", part, "--assert"]) == 0
    assert [name for name, _, _ in turns] == names
    said = capsys.readouterr().out
    assert ("What it costs" in said) == (part == "levels")
    assert ("Side by side" in said) == (part == "speed")


@pytest.mark.usefixtures("actors")
def test_bench__no_room_is_said_before_anything_runs(turns: list[tuple[str, int, int]]) -> None:
    with pytest.raises(FileError, match="smaller --size"):
        bench.bench(rounds=1, size_bytes=1 << 60, seed=0, say=lambda _: None)
    assert turns == []


@pytest.mark.usefixtures("actors")
def test_main__prints_the_tables_and_writes_the_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bench.json"
    assert command.main(["--rounds", "2", "--size", "1K", "--json", str(path), "--assert"]) == 0
    said = capsys.readouterr()
    runs = len(CONTESTANTS) + len(VARIANTS)
    assert all(name in said.out for name in (*CONTESTANTS, *VARIANTS))
    assert "Fewer than 5 rounds" in said.out
    assert f"before {2 * runs} of {2 * runs} runs" in said.out
    assert "2.00 (2.00 to 2.00)" in said.out
    assert "round 2 of 2: towline, ring" in said.err
    written = json.loads(path.read_bytes())
    assert set(written) == {"conditions", "rounds", "larger", "variants", "figures", "costs", "memory"}
    assert written["rounds"][1]["towline, ring"]["goodput_gbps"] == 10.0
    assert written["figures"][0]["ratio"]["median"] == 2.0


@pytest.mark.parametrize(("arguments", "exit_code"), [([], 0), (["--assert"], 1)])
def test_main__fails_only_when_it_is_asked_to(
    arguments: list[str],
    exit_code: int,
    actors: dict[str, Measure],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fast = actors["towline, ring"]
    slow = {"towline, ring": lambda course, number: {**fast(course, number), "goodput_gbps": 1.0}}
    monkeypatch.setattr(bench, "CONTESTANTS", {**actors, **slow})
    assert command.main(["--rounds", "1", "--size", "1K", *arguments]) == exit_code
    complaint = "bench: missed: towline, ring / bare loop, ring\n"
    assert capsys.readouterr().err.endswith(complaint) == bool(exit_code)


@pytest.mark.parametrize("arguments", [["--size", "much"], ["--rounds", "0"], ["--what"]])
def test_main__says_what_it_does_not_understand(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command.main(arguments)
    assert caught.value.code == 2


def test_main__no_room_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--size", "1048576T"]) == FileError.exit_code
    assert capsys.readouterr().err.count("\n") == 1


def test_file__is_made_once_and_of_the_seed(tmp_path: Path) -> None:
    course = Course(size_bytes=(1 << 20) + 5, folder=tmp_path, seed=1, congestion="cubic")
    assert list(tmp_path.iterdir()) == [course.output]
    first = course.file()
    content, made = first.read_bytes(), first.stat().st_mtime_ns
    assert len(content) == (1 << 20) + 5
    assert (course.file(), first.stat().st_mtime_ns) == (first, made)
    assert {path.name for path in tmp_path.iterdir()} == {"source", "received"}
    (tmp_path / "other").mkdir()
    other = Course(size_bytes=(1 << 20) + 5, folder=tmp_path / "other", seed=2, congestion="cubic")
    assert other.file().read_bytes() != content


@pytest.mark.acceptance
@pytest.mark.usefixtures("namespaces")
def test_bench__reaches_what_must_be_reached(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    options = ["--only", "speed", "--rounds", "5", "--size", "1G", "--assert", "--json", str(path)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *options], cwd=ROOT, capture_output=True, text=True, check=False
    )
    print(done.stdout)  # pytest shows it where the aims were missed
    assert done.returncode == 0, done.stderr.splitlines()[-1:]
    assert set(json.loads(path.read_bytes())["larger"]) == set(LARGER)


@pytest.mark.usefixtures("actors")
def test_bench__leaves_nothing_in_memory() -> None:
    before = ours()
    bench.bench(rounds=1, size_bytes=100, seed=0, say=lambda _: None)
    assert ours() == before
