# SPDX-License-Identifier: GPL-2.0-only
"""A comparison as it is carried out: blocks, their order, void runs, failures, and going on after a stop."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.lab.compare.comparisons import (
    BLOCKS,
    LOSSES,
    MBPS,
    FakeTools,
    Record,
    Watching,
    carried_out,
    made_up,
    wanted,
)
from towline.errors import SettingsError, TowlineError
from towline.lab.compare import compare, comparison
from towline.lab.compare.contestants import Bout
from towline.lab.sweep import design, results

CELLS = len(MBPS) * len(LOSSES)
WARM_UPS = len(MBPS)


class Stopped(BaseException):
    """In place of kill -9: nothing of ours runs after it."""


def pairs(records: list[Record]) -> Counter[tuple[int, int]]:
    return Counter((one["repetition"], one["cell"]) for one in records)


def test_compare__runs_everybody_at_every_loss_once_a_block_in_random_order(tmp_path: Path) -> None:
    fake = FakeTools()
    found = carried_out(tmp_path, fake)
    assert pairs(found.records) == Counter(itertools.product(range(BLOCKS), range(CELLS)))
    expected = [design.order(7, range(CELLS), block) for block in range(BLOCKS)]
    assert [one["cell"] for one in found.records] == list(itertools.chain(*expected))
    assert [one["order"] for one in found.records] == list(range(CELLS * BLOCKS))
    assert len({tuple(block) for block in expected}) > 1
    assert fake.brackets == CELLS * BLOCKS


def test_compare__gives_all_the_same_file_path_and_chances(tmp_path: Path) -> None:
    fake = FakeTools()
    carried_out(tmp_path, fake)
    counted = fake.bouts[WARM_UPS:]
    assert len({bout.source for bout in counted}) == 1
    assert {(bout.repetition, bout.seed) for bout in counted} == {
        (block, design.run_seed(7, block)) for block in range(BLOCKS)
    }
    assert {bout.settings.loss for bout in counted} == {(loss, loss) for loss in LOSSES}
    assert {(bout.settings.rate[0], bout.settings.delay[0], bout.emulated, bout.cap_s) for bout in counted} == {
        (200_000_000, 20_000, True, 20.0)
    }


def test_compare__warms_everybody_up_with_a_file_that_is_gone_afterwards(tmp_path: Path) -> None:
    sizes = []

    def answer(bout: Bout, number: int) -> Record:
        sizes.append(bout.source.stat().st_size)
        return made_up(bout)

    fake = FakeTools(answer)
    carried_out(tmp_path, fake, size_bytes=3 << 20, repetitions=1)
    assert [bout.contestant.name for bout in fake.bouts[:WARM_UPS]] == list(MBPS)
    assert sizes == [1 << 20] * WARM_UPS + [3 << 20] * CELLS
    assert not any(bout.source.exists() for bout in fake.bouts)


def test_compare__makes_a_path_for_each_block(tmp_path: Path) -> None:
    fake = FakeTools()
    carried_out(tmp_path, fake)
    assert len(fake.paths) == 1 + BLOCKS  # and one for the warm-up
    assert (fake.open_paths, fake.without_path) == (0, 0)


def test_compare__makes_no_path_where_the_pair_is_clean(tmp_path: Path) -> None:
    fake = FakeTools()
    found = carried_out(tmp_path, fake, path={}, losses=(0.0,), repetitions=1)
    assert fake.paths == []
    assert fake.without_path == 2 * WARM_UPS
    assert not any(bout.emulated or bout.impairments() for bout in fake.bouts)
    assert found.comparison.ceiling_gbps is None


def test_compare__without_loss_crosses_the_emulator_where_others_do(tmp_path: Path) -> None:
    fake = FakeTools()
    carried_out(tmp_path, fake, path={}, losses=LOSSES, repetitions=1)
    assert all(bout.emulated and bout.impairments() is not None for bout in fake.bouts)


# ---- void runs, and those that fail


def test_compare__repeats_a_void_run_twice_and_no_more(tmp_path: Path) -> None:
    fake = FakeTools(lambda bout, number: made_up(bout, void=bout.contestant.name == "udp", void_reason="stolen"))
    found = carried_out(tmp_path, fake, repetitions=2)
    attempts = pairs(found.records)
    expected = {cell.number: 3 if cell.contestant.name == "udp" else 1 for cell in found.comparison.cells}
    assert attempts == Counter({(block, cell): n for block in range(2) for cell, n in expected.items()})
    assert len(found.voids()) == 2 * 3 * len(LOSSES)
    assert sum(map(len, found.counted.values())) == 2 * 2 * len(LOSSES)


def test_compare__a_failure_is_kept_and_the_next_run_has_a_fresh_path(tmp_path: Path) -> None:
    fake = FakeTools(lambda bout, number: made_up(bout, **({"failed": "gone"} if number == WARM_UPS else {})))
    found = carried_out(tmp_path, fake, repetitions=1)
    assert [one["failed"] for one in found.records] == ["gone"] + [None] * (CELLS - 1)
    assert len(found.failures()) == 1
    assert len(fake.paths) == 1 + 2
    assert sum(map(len, found.counted.values())) == CELLS - 1


def test_compare__ends_where_nothing_works(tmp_path: Path) -> None:
    fake = FakeTools(lambda bout, number: made_up(bout, failed="gone"))
    with pytest.raises(TowlineError, match="nothing works: all 6 runs"):
        carried_out(tmp_path, fake)
    assert fake.brackets == CELLS


def test_compare__refuses_a_rate_above_what_the_emulator_passes(tmp_path: Path) -> None:
    fake = FakeTools(ceiling_gbps=0.25)
    with pytest.raises(SettingsError, match=r"200mbit is above 70% .* 0\.25 Gbit/s"):
        carried_out(tmp_path, fake)
    assert fake.bouts == []


@pytest.mark.parametrize("path", [{"delay": "20ms"}, {"duplicate": "1%"}])
def test_check__wants_a_rate_where_frames_take_time(path: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="say how fast the path is"):
        compare.check(wanted(path=path))
    compare.check(wanted(path=path | {"rate": "200mbit"}))
    compare.check(wanted(path={}))


# ---- going on


def stopping_after(count: int) -> FakeTools:
    def answer(bout: Bout, number: int) -> Record:
        if number == WARM_UPS + count:
            raise Stopped
        return made_up(bout)

    return FakeTools(answer)


def test_compare__goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    count = CELLS + 2
    with pytest.raises(Stopped):
        carried_out(tmp_path, stopping_after(count))
    before = (tmp_path / comparison.RECORDS).read_text()
    with (tmp_path / comparison.RECORDS).open("a") as file:
        file.write('{"cell": 3, "repet')  # and torn in the middle of a line
    fake, watching = FakeTools(), Watching()
    found = carried_out(tmp_path, fake, watching)
    assert len(watching.finished) == count
    assert (tmp_path / comparison.RECORDS).read_text().startswith(before)
    assert set(pairs(found.records).values()) == {1}
    assert [one["order"] for one in found.records] == list(range(CELLS * BLOCKS))
    assert len(fake.bouts) == WARM_UPS + CELLS * BLOCKS - count


def test_compare__does_nothing_where_all_is_there(tmp_path: Path) -> None:
    carried_out(tmp_path, FakeTools())
    fake = FakeTools()
    assert len(carried_out(tmp_path, fake).records) == CELLS * BLOCKS
    assert fake.bouts == []


def test_compare__more_repetitions_go_on(tmp_path: Path) -> None:
    carried_out(tmp_path, FakeTools(), repetitions=2)
    found = carried_out(tmp_path, FakeTools(), repetitions=3)
    assert pairs(found.records) == Counter(itertools.product(range(3), range(CELLS)))


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"size_bytes": 2 << 20}, "size"),
        ({"losses": (0.0, 0.05)}, "losses"),
        ({"path": {"rate": "100mbit"}}, "path"),
        ({"contestants": ("towline", "udp")}, "contestants"),
        ({"seed": 8}, "seed"),
        ({"repetitions": 1}, "of 2 repetitions, not 1"),
    ],
)
def test_compare__refuses_a_folder_with_another_comparison(tmp_path: Path, fields: dict[str, Any], why: str) -> None:
    carried_out(tmp_path, FakeTools(), repetitions=2)
    fake = FakeTools()
    with pytest.raises(SettingsError, match=why):
        carried_out(tmp_path, fake, **({"repetitions": 2} | fields))
    assert fake.bouts == []


def test_compare__counts_only_the_last_attempt(tmp_path: Path) -> None:
    fake = FakeTools(lambda bout, number: made_up(bout, void=number == WARM_UPS, void_reason="stolen"))
    found = carried_out(tmp_path, fake)
    assert [one["attempt"] for one in found.records[:2]] == [0, 1]
    assert len(found.records) == CELLS * BLOCKS + 1
    assert {len(runs) for runs in found.counted.values()} == {BLOCKS}
    assert results.finished(found.records) == set(itertools.product(range(BLOCKS), range(CELLS)))
