# SPDX-License-Identifier: GPL-2.0-only
"""What holds for a comparison: its cells, its estimates, its folder; and its figures."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.compare.comparisons import BLOCKS, FakeTools, carried_out, made_up, wanted
from towline.errors import FileError, SettingsError
from towline.lab.compare import comparison
from towline.lab.compare.comparison import mathis_bps


def test_comparison__cells_are_all_pairs() -> None:
    found = wanted()
    assert [(cell.loss, cell.contestant.name) for cell in found.cells] == [
        (loss, name) for loss in found.losses for name in found.contestants
    ]
    assert found.runs == len(found.cells) * BLOCKS


@pytest.mark.parametrize(
    ("path", "losses", "emulated"), [({}, (0.0,), False), ({}, (0.0, 0.01), True), ({"delay": "1ms"}, (0.0,), True)]
)
def test_comparison__is_emulated_if_anything_is_impaired(
    path: dict[str, str], losses: tuple[float, ...], emulated: bool
) -> None:
    assert wanted(path=path, losses=losses).emulated is emulated


def test_comparison__expects_losses_to_slow_down_those_that_they_slow_down() -> None:
    found = wanted(size_bytes=24 << 20)
    times = {(cell.loss, cell.contestant.name): found.expected_s(cell) for cell in found.cells}
    assert times[0.01, "tcp-cubic"] == comparison.OVERHEAD_S + found.cap_s
    assert times[0.0, "tcp-cubic"] < 3
    assert times[0.01, "towline"] == times[0.0, "towline"] < 3
    assert found.estimate_s() <= found.longest_s()


def test_comparison__of_the_issue_is_done_in_forty_minutes() -> None:
    everybody = tuple(wanted().all)
    found = wanted(size_bytes=23 << 20, losses=(0.0, 0.001, 0.01, 0.05), contestants=everybody)
    assert found.estimate_s() < 40 * 60


def test_mathis__is_what_is_known_of_it() -> None:
    assert mathis_bps(0.01, 0.04) == pytest.approx(3.53e6, rel=0.01)


def test_comparison__command_says_everything() -> None:
    said = wanted(only=("towline", "udp")).command()
    assert said == (
        "towline lab compare --size=1M --rate=200mbit --delay=20ms --loss=0%,1% --repetitions=6 --cap=20s "
        "--only=towline,udp --seed=7"
    )


def test_read__of_a_folder_without_one(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="towline lab compare"):
        comparison.read(tmp_path)


def test_read__of_a_damaged_one(tmp_path: Path) -> None:
    (tmp_path / comparison.COMPARISON).write_text("{")
    with pytest.raises(FileError, match="is damaged"):
        comparison.read(tmp_path)


def test_read__gives_back_what_was_written(tmp_path: Path) -> None:
    comparison.write_comparison(tmp_path, wanted())
    found = comparison.read(tmp_path)
    assert (found.comparison, found.records) == (wanted(), [])


def test_ratio__is_paired_within_blocks(tmp_path: Path) -> None:
    found = carried_out(tmp_path, FakeTools())
    cells = {cell.contestant.name: cell for cell in found.at(0.01)}
    ratio = found.ratio(cells["tcp-cubic"])
    assert ratio is not None
    assert [ratio.ratio, ratio.low, ratio.high] == pytest.approx([2.0, 2.0, 2.0])
    assert ratio.n == BLOCKS
    assert found.ratio(cells["towline"]) is None


def test_values__leave_out_what_is_void_or_failed(tmp_path: Path) -> None:
    fake = FakeTools(
        lambda bout, number: made_up(
            bout, **({"failed": "gone"} if (bout.contestant.name, bout.repetition) == ("udp", 1) else {})
        )
    )
    found = carried_out(tmp_path, fake)
    cells = {cell.contestant.name: cell for cell in found.at(0.0)}
    assert sorted(found.values(cells["udp"], "goodput_gbps")) == [0, 2, 3, 4, 5]
    assert sorted(found.values(cells["towline"], "goodput_gbps")) == list(range(BLOCKS))
