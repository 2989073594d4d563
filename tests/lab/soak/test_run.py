# SPDX-License-Identifier: GPL-2.0-only
"""A soak in small: forty transfers of fixed seeds on two rigs, verified, with nothing left behind."""

from __future__ import annotations

import itertools
import json

import pytest

from towline.cli.main import main
from towline.errors import RunError
from towline.lab import verify
from towline.lab.soak.rig import Outcome, Rig
from towline.lab.soak.run import Totals, seeds, soak

pytestmark = pytest.mark.usefixtures("namespaces")

SEEDS = range(40)


def ignore(_totals: Totals, _outcome: Outcome) -> None:
    pass


def test_soak__forty_transfers() -> None:
    seen: list[Outcome] = []
    totals = soak(iter(SEEDS), lambda _, outcome: seen.append(outcome))
    assert [(one.plan.seed, one.problem, one.log) for one in totals.failed] == []
    assert totals.left == []
    assert sorted(one.plan.seed for one in seen) == list(SEEDS)
    assert sum(totals.by.values()) == totals.transfers == len(SEEDS)
    assert totals.sums["packets"] > 0


def test_soak__ends_when_the_time_is_over() -> None:
    totals = soak(seeds(0, None), ignore, minutes=0.001, rigs=1)
    assert totals.transfers <= 1
    assert totals.good


def test_soak__a_rig_that_breaks_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Rig, plan: object) -> Outcome:
        raise RunError("emulator", "it is gone")

    monkeypatch.setattr(Rig, "carry_out", broken)
    with pytest.raises(RunError, match="it is gone"):
        soak(seeds(0, None), ignore, rigs=1)


def test_lab_soak__only_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lab", "soak", "--only", "13", "--json"]) == 0
    line = json.loads(capsys.readouterr().out)
    assert (line["seed"], line["problem"]) == (13, None)
    assert line["command"].startswith("towline lab transfer ")


def test_lab_soak__a_failure_is_told_with_its_seed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results = itertools.cycle((True, False))
    monkeypatch.setattr(verify, "same", lambda sent, received: next(results))
    assert main(["lab", "soak", "--transfers", "2", "--seed", "13"]) == 1
    said = capsys.readouterr()
    assert "the file differs from its source" in said.err
    assert "again: towline lab soak --only 1" in said.err
    assert "2 transfers in" in said.out


def test_seeds__follow_the_first() -> None:
    assert list(seeds(5, 3)) == [5, 6, 7]
    assert list(itertools.islice(seeds(5, None), 4)) == [5, 6, 7, 8]
