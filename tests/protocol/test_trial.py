# SPDX-License-Identifier: GPL-2.0-only
"""A program on trial stays if the transfer moves on and goes if not; nobody is blamed for what does not move."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from towline.protocol.trial import PATIENCE_US, Trial, Verdict

LOOK_US = PATIENCE_US // 20
OLD, NEW, THIRD = 1, 2, 3


def looks(trial: Trial, program: int, progress: list[int | None], since: int) -> list[Verdict]:
    """What a row of looks finds, a look every LOOK_US."""
    found = [trial.look(program, one, since + number * LOOK_US) for number, one in enumerate(progress)]
    return [one for one in found if one is not None]


def test_trial__moves_on() -> None:
    trial = Trial(OLD, 0)
    assert looks(trial, NEW, list(range(30)), 0) == [Verdict.REPLACED, Verdict.PROVEN]
    assert trial.proven == NEW


def test_trial__stands_still() -> None:
    trial = Trial(OLD, 0)
    assert looks(trial, NEW, [7] * 21, 0) == [Verdict.REPLACED, Verdict.FAILED]
    assert trial.proven == OLD


def test_trial__moves_and_then_stands_still_before_it_is_proven() -> None:
    trial = Trial(OLD, 0)
    found = looks(trial, NEW, [*range(15), *[14] * 25], 0)
    assert found[0] is Verdict.REPLACED
    assert set(found[1:]) == {Verdict.FAILED}  # again and again, as long as nobody puts the old one back


def test_trial__nothing_to_move_is_nobodys_fault() -> None:
    trial = Trial(OLD, 0)
    assert looks(trial, NEW, [None] * 100, 0) == [Verdict.REPLACED]


def test_trial__the_first_program_is_never_blamed() -> None:
    assert looks(Trial(OLD, 0), OLD, [7] * 100, 0) == []


def test_trial__a_proven_one_that_stalls_is_the_paths_trouble() -> None:
    trial = Trial(OLD, 0)
    looks(trial, NEW, list(range(30)), 0)
    assert looks(trial, NEW, [29] * 100, 30 * LOOK_US) == []


@given(st.lists(st.tuples(st.sampled_from([OLD, NEW, THIRD]), st.none() | st.integers(0, 3)), max_size=200))
def test_trial__fails_only_what_did_not_move_for_so_long(steps: list[tuple[int, int | None]]) -> None:
    trial, now, history = Trial(OLD, 0), 0, []
    for program, progress in steps:
        now += LOOK_US
        proven = trial.proven
        history.append((program, progress))
        verdict = trial.look(program, progress, now)
        if verdict is Verdict.FAILED:
            recent = history[-PATIENCE_US // LOOK_US :]
            assert set(recent) == {(program, progress)}
            assert program != proven
            assert progress is not None
        if verdict is Verdict.PROVEN:
            assert {one for one, _ in history[-PATIENCE_US // LOOK_US :]} == {program}
