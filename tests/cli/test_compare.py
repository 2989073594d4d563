# SPDX-License-Identifier: GPL-2.0-only
"""`towline lab compare` as it is typed, with made-up runs: what is asked for, refused, told and left."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.lab.compare.comparisons import MBPS, FakeTools, made_up
from towline.cli import compare as command
from towline.cli.compare import compare
from towline.errors import SettingsError
from towline.lab.compare import comparison
from towline.lab.sweep.bench import WRONG_BYTES

Use = Callable[[FakeTools], None]
NAMES = ",".join(MBPS)


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Use:
    """Has comparisons use fake tools, begin in an empty folder, and find everybody installed but scp."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "missing", lambda one: "install it" if one.yardstick == "scp" else None)

    def with_fake(fake: FakeTools) -> None:
        @contextmanager
        def tools() -> Iterator[Any]:
            yield fake.tools()

        monkeypatch.setattr("towline.lab.compare.compare.tools", tools)

    return with_fake


def test_compare__prints_tables_and_writes_the_page(use: Use, capsys: pytest.CaptureFixture[str]) -> None:
    use(FakeTools())
    assert compare(rate="200mbit", delay="20ms", loss="0%,1%", only=f"{NAMES},scp") == 0
    told = capsys.readouterr()
    for said in ("Goodput, Mbit/s", "195 (190 to 200)", "not there: scp (cubic): install it", "faster", "about"):
        assert said in told.out
    assert "block 6 of 6, 30 of 36 runs" in told.err
    assert Path("results/compare/report.html").exists()
    found = comparison.read(Path("results/compare")).comparison
    assert found.path == {"rate": "200mbit", "delay": "20ms"}
    assert (found.losses, found.repetitions, found.cap_s) == ((0.0, 0.01), 6, 20.0)
    assert found.size_bytes == 23 << 20  # what 200 Mbit/s carry in a second


def test_compare__again_goes_on_with_the_same_seed(use: Use, capsys: pytest.CaptureFixture[str]) -> None:
    use(FakeTools())
    compare(rate="200mbit", only=NAMES, repetitions=1)
    seed = comparison.read(Path("results/compare")).comparison.seed
    capsys.readouterr()
    compare(rate="200mbit", only=NAMES, repetitions=2)
    assert "3 of 6 runs are there" in capsys.readouterr().err
    assert comparison.read(Path("results/compare")).comparison.seed == seed


def test_compare__json_prints_records_and_nothing_else(use: Use, capsys: pytest.CaptureFixture[str]) -> None:
    use(FakeTools())
    compare(rate="200mbit", only=NAMES, repetitions=1, json=True)
    lines = capsys.readouterr().out.splitlines()
    assert sorted(json.loads(line)["contestant"] for line in lines) == sorted(MBPS)


def test_compare__dry_run_does_nothing(use: Use, capsys: pytest.CaptureFixture[str]) -> None:
    fake = FakeTools()
    use(fake)
    assert compare(rate="200mbit", delay="20ms", loss="0%,0.1%,1%,5%", dry_run=True) == 0
    assert "9 contestants x 4 losses x 6 blocks in random order = 216 runs" in capsys.readouterr().out
    assert fake.bouts == []
    assert not Path("results").exists()


def test_compare__wrong_bytes_are_told_by_the_exit_code(use: Use) -> None:
    use(FakeTools(lambda bout, number: made_up(bout, failed=WRONG_BYTES if number == 4 else None)))
    assert compare(rate="200mbit", only=NAMES) == 1


def test_compare__a_failing_yardstick_is_a_result(use: Use, capsys: pytest.CaptureFixture[str]) -> None:
    use(FakeTools(lambda bout, number: made_up(bout, failed="gone" if bout.contestant.name == "udp" else None)))
    assert compare(rate="200mbit", only=NAMES) == 0
    assert "6 of 18 runs failed, such as: gone" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"loss": "1%,x"}, "--loss: 'x' is not a share"),
        ({"loss": "1%,1%"}, "1% stands there twice"),
        ({"loss": "100%"}, "below 100%"),
        ({"rate": "quick"}, "--rate: 'quick' is not a rate"),
        ({"delay": "20ms"}, "say how fast the path is"),
        ({"jitter": "1ms", "rate": "1mbit"}, "a jitter of 1000 us needs a delay"),
        ({"only": "tcp-cubik"}, "did you mean tcp-cubic"),
        ({"only": "scp"}, "nobody is there"),
        ({"cap": "100ms"}, "--cap is 100ms: from 1s"),
        ({"repetitions": 0}, "--repetitions is 0"),
        ({"size": 0}, "--size is 0"),
    ],
)
def test_compare__refuses_before_anything_runs(use: Use, options: dict[str, Any], why: str) -> None:
    fake = FakeTools()
    use(fake)
    with pytest.raises(SettingsError, match=why):
        compare(**options)
    assert fake.bouts == []
    assert not Path("results").exists()
