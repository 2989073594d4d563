# SPDX-License-Identifier: GPL-2.0-only
"""The tables of a comparison, as text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.lab.compare.comparisons import MBPS, FakeTools, carried_out, made_up, wanted
from towline.lab.compare import scoreboard
from towline.lab.compare.comparison import Compared


def found(folder: Path, *, capped: bool = False, **fields: Any) -> Compared:
    slow = {"capped": True, "verified": None} if capped else {}
    return carried_out(
        folder,
        FakeTools(lambda bout, number: made_up(bout, **(slow if bout.contestant.name == "tcp-cubic" else {}))),
        **fields,
    )


def row(table: scoreboard.Table, label: str) -> tuple[str, ...]:
    return next(row[1:] for row in table.rows if row[0] == label)


def test_goodput__has_medians_and_intervals(tmp_path: Path) -> None:
    table = scoreboard.goodput(found(tmp_path))
    assert table.title == "Goodput, Mbit/s"
    assert table.header == ("", "loss 0%", "loss 1%")
    assert row(table, "towline (told the rate)") == ("195 (190 to 200)",) * 2
    assert row(table, "UDP (told the rate)") == ("184 (180 to 189)",) * 2
    assert row(table, "UDP (told the rate): % lost") == ("5.00 (5.00 to 5.00)",) * 2
    assert "UDP" in table.notes[-1]


def test_goodput__marks_what_was_stopped(tmp_path: Path) -> None:
    table = scoreboard.goodput(found(tmp_path, capped=True))
    assert row(table, "TCP (cubic)") == ("97.4 (95.0 to 99.8) *",) * 2
    assert any(note.startswith("* not finished after 20s") for note in table.notes)
    assert not any("*" in text for text in row(table, "towline (told the rate)"))


def test_goodput__has_no_interval_of_few_runs(tmp_path: Path) -> None:
    table = scoreboard.goodput(found(tmp_path, repetitions=5))
    assert row(table, "TCP (cubic)") == ("96.9",) * 2


def test_ratios__are_of_towline_to_each_other(tmp_path: Path) -> None:
    table = scoreboard.ratios(found(tmp_path))
    assert [one[0] for one in table.rows] == ["TCP (cubic)", "UDP (told the rate)"]
    assert row(table, "TCP (cubic)") == ("2.00 (2.00 to 2.00)",) * 2


def test_tables__have_no_ratios_without_towline(tmp_path: Path) -> None:
    titles = [table.title for table in scoreboard.tables(found(tmp_path, contestants=("tcp-cubic", "udp")))]
    assert titles == ["Goodput, Mbit/s", "CPU, seconds per GiB delivered"]


def test_answers__name_the_fastest_that_delivers_a_file(tmp_path: Path) -> None:
    first, second = scoreboard.answers(found(tmp_path))
    assert first.startswith("At 0% loss towline (told the rate) reaches 195 Mbit/s; the fastest other")
    assert "is TCP (cubic) with 97.4 Mbit/s. That is 2.00 (2.00 to 2.00) times as much: faster." in first
    assert second.startswith("At 1% loss")


def test_answers__say_faster_only_where_it_is(tmp_path: Path) -> None:
    few = scoreboard.answers(found(tmp_path / "few", repetitions=5))
    assert few[0].endswith("too few blocks for a verdict.")
    wavering = FakeTools(
        lambda bout, number: made_up(
            bout,
            goodput_gbps=0.1 * (1 + 0.1 * (-1) ** bout.repetition * (bout.contestant.name == "towline")),
        )
    )
    same = scoreboard.answers(carried_out(tmp_path / "same", wavering))
    assert same[0].endswith("no difference found.")


def test_beforehand__says_how_long_and_who_is_not_there() -> None:
    said = scoreboard.beforehand(Compared(folder=Path("x"), comparison=wanted(), records=[]), Path("x"))
    assert said[0] == "1M over 200mbit, 20ms each way; loss 0%, 1% each way"
    assert f"{len(MBPS)} contestants x 2 losses x 6 blocks" in said[1]
    assert "at most" in said[1]
    assert said[2] == "not there: scp (cubic): scp is not installed (Debian: apt install openssh-client)"
