# SPDX-License-Identifier: GPL-2.0-only
"""A sweep with made-up runs: its order, what is repeated, what is kept, and going on where it was stopped."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.lab.sweep.sweeps import BLOCKS, CELLS, TEXT, FakeBench, Stopped, Watching, carried_out, made_up
from towline.errors import PermissionsError, RunError, SettingsError, TowlineError
from towline.lab import journal
from towline.lab.plans import plan
from towline.lab.run import Run
from towline.lab.sweep import design, results
from towline.lab.sweep.standing import Standing

WARM_UPS = CELLS


def pairs(records: list[dict[str, Any]]) -> Counter[tuple[int, int]]:
    return Counter((one["repetition"], one["cell"]) for one in records)


def every_pair_once() -> Counter[tuple[int, int]]:
    return Counter(itertools.product(range(BLOCKS), range(CELLS)))


def test_sweep__runs_every_cell_once_a_block_in_the_recorded_order(tmp_path: Path) -> None:
    fake, watching = FakeBench(), Watching()
    found = carried_out(tmp_path, fake, watching=watching)
    assert pairs(found.records) == every_pair_once()
    assert [one["order"] for one in found.records] == list(range(CELLS * BLOCKS))
    expected = [design.order(7, range(CELLS), block) for block in range(BLOCKS)]
    assert [one["cell"] for one in found.records] == list(itertools.chain(*expected))
    assert found.design.seed == 7
    assert watching.blocks == list(range(BLOCKS))
    assert len(watching.records) == len(found.records)
    assert {one["plan"] for one in found.records} == {"tiny"}


def test_sweep__warms_every_cell_up_and_keeps_none_of_it(tmp_path: Path) -> None:
    fake = FakeBench()
    found = carried_out(tmp_path, fake)
    assert len(fake.runs) == WARM_UPS + CELLS * BLOCKS
    assert fake.brackets == len(found.records) == CELLS * BLOCKS
    assert [run.settings for run in fake.runs[:WARM_UPS]] == [cell.settings for cell in found.plan.cells]


def test_sweep__cells_of_a_block_meet_the_same_chances_and_blocks_others(tmp_path: Path) -> None:
    seeds = {(one["repetition"], one["seed"]) for one in carried_out(tmp_path, FakeBench()).records}
    assert len(seeds) == len({seed for _, seed in seeds}) == BLOCKS


def test_sweep__has_a_seed_of_its_own_where_the_plan_has_none(tmp_path: Path) -> None:
    text = TEXT.replace("seed = 7\n", "")
    seeds = {carried_out(tmp_path / name, FakeBench(), text=text).design.seed for name in "ab"}
    assert len(seeds) == 2
    assert carried_out(tmp_path / "a", FakeBench(), text=text).design.seed in seeds


# ---- void runs, and those that fail


def test_sweep__repeats_a_void_run_at_once_and_keeps_it(tmp_path: Path) -> None:
    fake = FakeBench(lambda run, number: made_up(run, void=number == WARM_UPS, void_reason="stolen"))
    found = carried_out(tmp_path, fake)
    first, second = found.records[:2]
    assert (first["void"], first["attempt"], second["void"], second["attempt"]) == (True, 0, False, 1)
    assert {first[name] == second[name] for name in ("cell", "repetition", "order", "seed")} == {True}
    assert len(found.records) == CELLS * BLOCKS + 1
    assert len(found.voids()) == 1
    assert len(found.counted()) == CELLS * BLOCKS


def test_sweep__repeats_a_void_run_twice_and_no_more(tmp_path: Path) -> None:
    found = carried_out(tmp_path, FakeBench(lambda run, number: made_up(run, void=number >= WARM_UPS)))
    assert set(pairs(found.records).values()) == {results.ATTEMPTS_MOST}
    assert [one["attempt"] for one in found.records[:3]] == [0, 1, 2]
    assert found.counted() == []
    fake = FakeBench()
    carried_out(tmp_path, fake)
    assert fake.runs == []


def test_sweep__a_run_that_fails_is_a_result(tmp_path: Path) -> None:
    def answer(run: Run, number: int) -> dict[str, Any]:
        if number == WARM_UPS + 1:
            raise RunError("sender", "Unconfirmed", exit_code=9)
        return made_up(run)

    found = carried_out(tmp_path, FakeBench(answer))
    assert pairs(found.records) == every_pair_once()
    (failed,) = [one for one in found.records if one["failed"]]
    assert (failed["verified"], failed["void"], failed["canary"]) == (False, False, 0.01)
    assert failed["failed"] == "The sender of the run ended: Unconfirmed"
    assert failed["seconds"] is None
    assert len(found.counted()) == CELLS * BLOCKS - 1


def test_sweep__a_file_that_arrives_wrong_is_a_failure(tmp_path: Path) -> None:
    found = carried_out(tmp_path, FakeBench(lambda run, number: made_up(run, verified=number != WARM_UPS)))
    assert [one["failed"] for one in found.records[:2]] == ["what arrived is not what was sent", None]


def test_sweep__ends_where_nothing_works_and_refuses_nothing_for_ever(tmp_path: Path) -> None:
    def broken(run: Run, number: int) -> dict[str, Any]:
        raise RunError("receiver", "No space left", exit_code=10)

    fake = FakeBench(broken)
    with pytest.raises(TowlineError, match=r"nothing works.*No space left"):
        carried_out(tmp_path, fake)
    assert len(fake.runs) <= 9
    assert pairs(carried_out(tmp_path, FakeBench()).records) == every_pair_once()


def test_sweep__ends_where_nothing_works_any_more(tmp_path: Path) -> None:
    def breaks(run: Run, number: int) -> dict[str, Any]:
        if number < WARM_UPS + 2:
            return made_up(run)
        raise RunError("receiver", "No space left", exit_code=10)

    fake = FakeBench(breaks)
    with pytest.raises(TowlineError, match="nothing works"):
        carried_out(tmp_path, fake)
    assert len(fake.runs) == WARM_UPS + 2 + CELLS


@pytest.mark.parametrize("error", [PermissionsError("a namespace"), RunError("sender", "No permission", exit_code=4)])
def test_sweep__without_permission_nothing_is_tried_again(tmp_path: Path, error: TowlineError) -> None:
    def refuses(run: Run, number: int) -> dict[str, Any]:
        raise error

    fake = FakeBench(refuses)
    with pytest.raises(type(error)):
        carried_out(tmp_path, fake)
    assert len(fake.runs) == 1


def test_sweep__a_cell_that_cannot_run_is_refused_and_the_others_go_on(tmp_path: Path) -> None:
    def answer(run: Run, number: int) -> dict[str, Any]:
        if run.settings.lanes == 2:
            return made_up(run, refused="receiver: too complex", seconds=None, verified=None)
        return made_up(run)

    fake = FakeBench(answer)
    found = carried_out(tmp_path, fake)
    assert found.design.refused == {1: "receiver: too complex", 3: "receiver: too complex"}
    assert set(pairs(found.records)) == {(block, cell) for block in range(BLOCKS) for cell in (0, 2)}
    assert [one["order"] for one in found.records] == list(range(2 * BLOCKS))


def test_sweep__says_so_where_every_cell_is_refused(tmp_path: Path) -> None:
    fake = FakeBench(lambda run, number: made_up(run, refused="receiver: no", seconds=None, verified=None))
    for _ in range(2):
        with pytest.raises(TowlineError, match=r"no cell of plans/tiny.toml can be run.*receiver: no"):
            carried_out(tmp_path, fake)


# ---- the emulator


EMULATED = TEXT.replace("lanes = [1, 2]", 'delay = ["0ms", "5ms"]').replace("[axes]", 'pace = "600mbit"\n[axes]')


def test_sweep__all_cells_cross_the_emulator_if_one_does(tmp_path: Path) -> None:
    fake = FakeBench()
    found = carried_out(tmp_path, fake, text=EMULATED)
    assert {run.emulated for run in fake.runs} == {True}
    assert found.design.ceiling_gbps == 10.0
    assert found.design.ceilings == dict.fromkeys(range(CELLS), 10.0)
    assert len(fake.ceilings) == 2
    assert {run.emulated for run in unimpaired_runs(tmp_path / "other")} == {False}


def unimpaired_runs(folder: Path) -> list[Run]:
    fake = FakeBench()
    carried_out(folder, fake)
    return fake.runs


def test_sweep__refuses_what_the_emulator_cannot_carry_before_it_is_run(tmp_path: Path) -> None:
    text = (
        EMULATED.replace('"0ms", ', '"1ms", ')
        .replace('pace = "600mbit"\n', "")
        .replace("ack_every = [1, 4]", 'pace = ["100mbit", "900mbit"]')
    )
    fake = FakeBench(ceiling_gbps=1.0)
    found = carried_out(tmp_path, fake, text=text)
    assert set(found.design.refused) == {2, 3}
    assert "above 70%" in found.design.refused[2]
    assert {run.settings.pace for run in fake.runs} == {100_000_000}


# ---- stopped and started again


@pytest.mark.parametrize("when", range(WARM_UPS + CELLS * BLOCKS))
def test_sweep__goes_on_where_it_was_stopped(tmp_path: Path, when: int) -> None:
    def answer(run: Run, number: int) -> dict[str, Any]:
        if number == when:
            raise Stopped
        return made_up(run)

    before, after = FakeBench(answer), FakeBench()
    with pytest.raises(Stopped):
        carried_out(tmp_path, before)
    found = carried_out(tmp_path, after)
    assert pairs(found.records) == every_pair_once()
    expected = [design.order(7, range(CELLS), block) for block in range(BLOCKS)]
    assert [one["cell"] for one in found.records] == list(itertools.chain(*expected))
    warmed = max(0, when - WARM_UPS)
    assert after.brackets == CELLS * BLOCKS - warmed
    # what was warmed up before is not again, but for one run where nothing else is
    assert len(after.runs) - after.brackets == max(1, WARM_UPS - when)


def test_sweep__after_a_void_run_goes_on_with_the_next_attempt(tmp_path: Path) -> None:
    def answer(run: Run, number: int) -> dict[str, Any]:
        if number == WARM_UPS + 1:
            raise Stopped
        return made_up(run, void=number == WARM_UPS)

    with pytest.raises(Stopped):
        carried_out(tmp_path, FakeBench(answer))
    found = carried_out(tmp_path, FakeBench())
    assert [one["attempt"] for one in found.records[:3]] == [0, 1, 0]
    assert len(found.counted()) == CELLS * BLOCKS


def test_sweep__a_torn_record_is_run_again(tmp_path: Path) -> None:
    carried_out(tmp_path, FakeBench())
    path = tmp_path / results.RECORDS
    path.write_bytes(path.read_bytes()[:-20])
    fake = FakeBench()
    found = carried_out(tmp_path, fake)
    assert fake.brackets == 1
    assert pairs(found.records) == every_pair_once()
    # its series was there already: the table has that of the run that has a record
    assert len(list(journal.lines(tmp_path / results.SERIES))) == CELLS * BLOCKS + 1
    assert found.series is not None
    assert found.series.num_rows == 4 * CELLS * BLOCKS


def test_sweep__that_is_complete_runs_nothing(tmp_path: Path) -> None:
    carried_out(tmp_path, FakeBench())
    fake = FakeBench()
    found = carried_out(tmp_path, fake)
    assert fake.runs == []
    assert pairs(found.records) == every_pair_once()


def test_sweep__more_repetitions_are_more_blocks(tmp_path: Path) -> None:
    carried_out(tmp_path, FakeBench())
    fake = FakeBench()
    found = carried_out(tmp_path, fake, repetitions=BLOCKS + 1)
    assert fake.brackets == CELLS
    assert [one["order"] for one in found.records] == list(range(CELLS * (BLOCKS + 1)))
    assert found.design.repetitions == BLOCKS + 1


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"text": TEXT.replace("[1, 4]", "[1, 8]")}, "another plan"),
        ({"repetitions": BLOCKS - 1}, f"{BLOCKS} repetitions, not {BLOCKS - 1}"),
        ({"quick": True, "repetitions": BLOCKS}, "without --quick"),
    ],
)
def test_sweep__another_one_in_the_folder_is_refused(tmp_path: Path, options: dict[str, Any], what: str) -> None:
    before = carried_out(tmp_path, FakeBench()).records
    fake = FakeBench()
    with pytest.raises(SettingsError, match=f"{what}.*--output"):
        carried_out(tmp_path, fake, **options)
    assert fake.runs == []
    assert results.read(tmp_path).records == before


def test_sweep__on_another_machine_is_another_one(tmp_path: Path) -> None:
    found = carried_out(tmp_path, FakeBench())
    changed = found.design.machine | {"cpu": "abacus"}
    results.write_design(tmp_path, type(found.design)(**{**_fields(found.design), "machine": changed}))
    with pytest.raises(SettingsError, match="another cpu"):
        carried_out(tmp_path, FakeBench())


def test_sweep__with_other_programs_is_another_one(tmp_path: Path) -> None:
    found = carried_out(tmp_path, FakeBench())
    assert found.design.programs
    results.write_design(tmp_path, type(found.design)(**{**_fields(found.design), "programs": "of yesterday"}))
    with pytest.raises(SettingsError, match="BPF programs before they were changed"):
        carried_out(tmp_path, FakeBench())


def _fields(one: design.Design) -> dict[str, Any]:
    return {name: getattr(one, name) for name in one.__struct_fields__}


def test_sweep__finds_sizes_once(tmp_path: Path) -> None:
    text = TEXT.replace('size = "1M"', 'duration = "1s"')

    def answer(run: Run, number: int) -> dict[str, Any]:
        if number == stop_at:
            raise Stopped
        return made_up(run, seconds=run.source_bytes * 8 / 1e9)

    stop_at = 3 * CELLS + 2  # a size takes three runs here
    with pytest.raises(Stopped):
        carried_out(tmp_path, FakeBench(answer), text=text)
    sizes = results.read(tmp_path).design.sizes
    assert set(sizes) == set(range(CELLS))
    assert all(1.0 < size * 8 / 1e9 < 1.4 for size in sizes.values())
    stop_at = -1
    after = FakeBench(answer)
    assert carried_out(tmp_path, after, text=text).design.sizes == sizes
    assert {run.source for run in after.runs} == set(sizes.values())


@pytest.mark.parametrize("text", [TEXT, EMULATED])
def test_standing__what_was_expected_is_done_at_the_end(tmp_path: Path, text: str) -> None:
    watching = Watching()
    found = carried_out(tmp_path, FakeBench(), watching=watching, text=text)
    assert watching.last is not None
    assert watching.last.whole_s == pytest.approx(design.estimate_s(found.plan))
    assert watching.last.left_s(10.0) == pytest.approx(0, abs=1e-6)
    assert watching.last.finished == watching.last.runs == CELLS * BLOCKS


def test_standing__time_left_follows_what_was_spent() -> None:
    found = plan.parse(TEXT, "plans/tiny.toml")
    standing = Standing(plan=found, folder=Path(), whole_s=100.0)
    assert standing.left_s(5.0) == 100.0
    standing.done_s = 20.0
    assert standing.left_s(40.0) == 160.0
