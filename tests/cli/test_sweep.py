# SPDX-License-Identifier: GPL-2.0-only
"""`towline lab sweep` as it is typed, with made-up runs: folders, exit codes, what is told, and the dry run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.lab.sweep.sweeps import BLOCKS, CELLS, TEXT, FakeBench, made_up
from towline.cli import sweep as command
from towline.cli.sweep import sweep
from towline.cli.sweep_screen import human
from towline.errors import PermissionsError, RunError, SettingsError, TowlineError
from towline.lab.run import Run
from towline.lab.sweep import results

PLANS = sorted((Path(__file__).parents[2] / "plans").glob("*.toml"))
Use = Callable[[FakeBench], None]


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Use:
    """Has sweeps use a fake bench, and begin in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def with_fake(fake: FakeBench) -> None:
        @contextmanager
        def bench() -> Iterator[Any]:
            yield fake.bench()

        monkeypatch.setattr(command, "bench", bench)

    return with_fake


def plan_file(name: str = "tiny", text: str = TEXT) -> Path:
    path = Path(f"{name}.toml")
    path.write_text(text)
    return path


def test_sweep__writes_into_results_and_says_what_is_next(use: Use, capsys: pytest.CaptureFixture[str]) -> None:
    use(FakeBench())
    assert sweep(plan_file()) == 0
    found = results.read(Path("results/tiny"))
    assert len(found.counted()) == CELLS * BLOCKS
    told = capsys.readouterr()
    assert f"block {BLOCKS} of {BLOCKS}, {CELLS * BLOCKS} of {CELLS * BLOCKS} runs" in told.err
    assert "towline lab report results/tiny" in told.err
    assert "ack every" in told.out


def test_sweep__several_plans_share_an_output(use: Use) -> None:
    use(FakeBench())
    assert sweep(plan_file("a"), plan_file("b"), output=Path("out")) == 0
    assert [results.read(Path("out") / name).plan.name for name in "ab"] == ["a", "b"]
    assert sweep(plan_file("a"), output=Path("one")) == 0
    assert results.read(Path("one")).plan.name == "a"


def test_sweep__two_plans_of_one_name_are_refused(use: Use) -> None:
    use(FakeBench())
    Path("other").mkdir()
    with pytest.raises(SettingsError, match="two of these plans are called tiny"):
        sweep(plan_file(), plan_file("other/tiny"))


def test_sweep__a_wrong_plan_is_refused_before_another_runs(use: Use) -> None:
    fake = FakeBench()
    use(fake)
    with pytest.raises(SettingsError, match=r"wrong\.toml:\d+: .*ack_evry"):
        sweep(plan_file(), plan_file("wrong", TEXT.replace("ack_every", "ack_evry")))
    assert fake.runs == []
    assert not Path("results").exists()


def test_sweep__without_a_plan_says_which_there_are() -> None:
    with pytest.raises(SettingsError, match="towline lab list"):
        sweep()


def test_sweep__json_is_the_records_and_nothing_else(use: Use, capsys: pytest.CaptureFixture[str]) -> None:
    use(FakeBench(lambda run, number: made_up(run, void=number == CELLS)))
    sweep(plan_file(), json=True)
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert told == results.read(Path("results/tiny")).records
    assert len(told) == CELLS * BLOCKS + 1


def test_sweep__counters_that_do_not_add_up_are_told_and_do_not_stop_it(
    use: Use, capsys: pytest.CaptureFixture[str]
) -> None:
    use(FakeBench(lambda run, number: made_up(run, accounting="one frame too many" if number == CELLS else None)))
    assert sweep(plan_file()) == 1
    assert len(results.read(Path("results/tiny")).records) == CELLS * BLOCKS
    assert "the counters do not add up, block 1, ack_every" in capsys.readouterr().err


@pytest.mark.parametrize(("verified", "exit_code"), [(True, 0), (False, 1)])
def test_sweep__a_wrong_file_is_worse_than_a_failed_transfer(
    use: Use, capsys: pytest.CaptureFixture[str], verified: bool, exit_code: int
) -> None:
    def answer(run: Run, number: int) -> dict[str, Any]:
        if number == CELLS and verified:
            raise RunError("sender", "gave up")
        return made_up(run, verified=verified or number != CELLS)

    use(FakeBench(answer))
    assert sweep(plan_file()) == exit_code
    assert f"1 of {CELLS * BLOCKS} runs failed" in capsys.readouterr().err


def test_sweep__says_how_to_go_on_after_ctrl_c(use: Use, capsys: pytest.CaptureFixture[str]) -> None:
    def answer(run: Run, number: int) -> dict[str, Any]:
        if number == CELLS + 3:
            raise KeyboardInterrupt
        return made_up(run)

    use(FakeBench(answer))
    with pytest.raises(KeyboardInterrupt):
        sweep(plan_file(), repetitions=BLOCKS + 1)
    told = capsys.readouterr().err
    assert f"stopped: 3 of {CELLS * (BLOCKS + 1)} runs; what there is stands in results/tiny" in told
    assert f"towline lab sweep tiny.toml --repetitions={BLOCKS + 1} --output=results/tiny" in told
    use(FakeBench())
    assert sweep(plan_file(), repetitions=BLOCKS + 1) == 0
    assert f"3 of {CELLS * (BLOCKS + 1)} runs are there from an earlier start" in capsys.readouterr().err


def test_sweep__one_hopeless_plan_does_not_stop_the_next(use: Use) -> None:
    def answer(run: Run, number: int) -> dict[str, Any]:
        if run.settings.ack_every in (1, 4):
            raise RunError("sender", "hopeless")
        return made_up(run)

    use(FakeBench(answer))
    with pytest.raises(TowlineError, match="hopeless"):
        sweep(plan_file("a"), plan_file("b", TEXT.replace("[1, 4]", "[2, 8]")))
    assert len(results.read(Path("results/b")).counted()) == CELLS * BLOCKS


def test_sweep__without_permission_there_is_no_next(use: Use) -> None:
    def answer(run: Run, number: int) -> dict[str, Any]:
        raise PermissionsError("a namespace")

    fake = FakeBench(answer)
    use(fake)
    with pytest.raises(PermissionsError):
        sweep(plan_file("a"), plan_file("b"))
    assert len(fake.runs) == 1


# ---- the dry run


@pytest.mark.parametrize("quick", [False, True])
def test_sweep__dry_run_of_every_plan(use: Use, capsys: pytest.CaptureFixture[str], quick: bool) -> None:
    fake = FakeBench()
    use(fake)
    assert sweep(*PLANS, dry_run=True, quick=quick, json=True) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["plan"] for line in lines} == {path.stem for path in PLANS}
    assert all(line["seconds"] > 0 and (line["size_bytes"] or line["duration_us"]) for line in lines)
    assert fake.runs == []
    assert not Path("results").exists()


def test_sweep__dry_run_lists_cells_and_time(use: Use, capsys: pytest.CaptureFixture[str]) -> None:
    use(FakeBench())
    sweep(plan_file(), dry_run=True)
    told = capsys.readouterr().out
    assert f"{CELLS} cells x {BLOCKS} blocks in random order = {CELLS * BLOCKS} runs; about " in told
    assert "into results/tiny" in told
    assert told.count("1M") == CELLS


@pytest.mark.parametrize(("seconds", "words"), [(3.2, "3 s"), (95.0, "2 min"), (3720.0, "1 h 02 min")])
def test_human__reads_like_a_watch(seconds: float, words: str) -> None:
    assert human(seconds) == words
