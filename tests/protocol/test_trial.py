# SPDX-License-Identifier: GPL-2.0-only
"""A program on trial stays if the transfer moves on and goes if not; nobody is blamed for what does not move."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from towline.protocol.trial import PATIENCE_US, Movement, Trial, Verdict

LOOK_US = PATIENCE_US // 20
OLD, NEW, THIRD = 1, 2, 3


def carried(count: int | None, window: int = 0, seen: int = 0) -> Movement | None:
    """So many packets, and some more that were seen."""
    return None if count is None else Movement(mark=count + seen, carried=count, window=window)


def looks(trial: Trial, program: int, counts: list[int | None], since: int, *, window: int = 0) -> list[Verdict]:
    """What a row of looks finds, a look every LOOK_US."""
    return row(trial, program, [carried(one, window) for one in counts], since)


def row(trial: Trial, program: int, movements: list[Movement | None], since: int = 0) -> list[Verdict]:
    """The same, of movements."""
    found = [trial.look(program, one, since + number * LOOK_US) for number, one in enumerate(movements)]
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


def test_trial__a_window_is_no_proof_however_long_it_lasts() -> None:
    trial = Trial(OLD, 0)
    counts = [*range(101), *[100] * 21]  # five seconds until the sender has used up its window
    assert looks(trial, NEW, counts, 0, window=100)[:2] == [Verdict.REPLACED, Verdict.FAILED]
    assert trial.proven == OLD


def test_trial__more_than_a_window_is_proof() -> None:
    trial = Trial(OLD, 0)
    assert looks(trial, NEW, list(range(101)), 0, window=100) == [Verdict.REPLACED]
    assert trial.look(NEW, carried(101, 100), 101 * LOOK_US) is Verdict.PROVEN


def test_trial__what_was_carried_before_it_is_no_proof() -> None:
    trial = Trial(OLD, 0)
    looks(trial, OLD, list(range(0, 1000, 10)), 0, window=100)
    found = looks(trial, NEW, [*range(1000, 1101), *[1100] * 21], 100 * LOOK_US, window=100)
    assert found[:2] == [Verdict.REPLACED, Verdict.FAILED]


def test_trial__what_is_only_seen_postpones_the_end_and_proves_nothing() -> None:
    trial = Trial(OLD, 0)
    seen = [carried(0, 10, seen) for seen in range(200)]
    assert row(trial, NEW, seen) == [Verdict.REPLACED]
    assert row(trial, NEW, [carried(0, 10, 199)] * 20, 200 * LOOK_US) == [Verdict.FAILED]


def test_trial__what_other_lanes_have_carried_is_no_proof() -> None:
    trial = Trial(OLD, 0)
    few, many = [carried(5, 10)] * 2, [carried(5 + 1000 + step, 10 + 20) for step in range(31)]
    assert row(trial, NEW, few + many) == [Verdict.REPLACED]  # a second lane, with what it has carried elsewhere
    assert trial.look(NEW, carried(5 + 1000 + 31, 30), 33 * LOOK_US) is Verdict.PROVEN


def test_trial__rolled_back_is_where_it_was_before() -> None:
    trial = Trial(OLD, 0)
    found = looks(trial, NEW, [7] * 21, 0)
    trial.rolled_back(20 * LOOK_US)
    assert found[-1] is Verdict.FAILED
    assert looks(trial, OLD, [7] * 100, 21 * LOOK_US) == []  # nobody has replaced anything
    assert looks(trial, NEW, [7] * 21, 121 * LOOK_US) == [Verdict.REPLACED, Verdict.FAILED]  # once more, the same one


@given(
    st.lists(
        st.tuples(
            st.sampled_from([OLD, NEW, NEW, NEW, THIRD]),
            st.none() | st.builds(carried, st.integers(0, 5), st.sampled_from([2, 2, 2, 3]), st.integers(0, 1)),
        ),
        max_size=200,
    )
)
def test_trial__fails_only_what_did_not_move_for_so_long(steps: list[tuple[int, Movement | None]]) -> None:
    trial, now, history = Trial(OLD, 0), 0, []
    for program, movement in steps:
        now += LOOK_US
        proven = trial.proven
        history.append((program, movement))
        verdict = trial.look(program, movement, now)
        if verdict is Verdict.FAILED:
            recent = history[-PATIENCE_US // LOOK_US :]
            assert set(recent) == {(program, movement)}
            assert program != proven
            assert movement is not None
        if verdict is Verdict.PROVEN:
            assert {one for one, _ in history[-PATIENCE_US // LOOK_US :]} == {program}


@given(data=st.data())
def test_trial__sessions_that_come_and_go_prove_no_program_that_lets_each_have_its_window(data: st.DataObject) -> None:
    trial, windows, left, count = Trial(OLD, 0), [3, 3], [3, 3], [50, 7]  # of each session; the first two are old
    movements: list[Movement | None] = []
    for _ in range(data.draw(st.integers(20, 80))):
        for _ in range(data.draw(st.integers(0, 3))):
            what = data.draw(st.sampled_from(["carries", "carries", "opens", "ends"]))
            if what == "opens":
                windows.append(data.draw(st.sampled_from([3, 3, 6])))
                left.append(windows[-1])
                count.append(0)
            elif windows:
                one = data.draw(st.integers(0, len(windows) - 1))
                if what == "ends":
                    del windows[one], left[one], count[one]
                elif left[one]:
                    left[one] -= 1
                    count[one] += 1
        movements.append(carried(sum(count), sum(windows)) if windows else None)
    assert Verdict.PROVEN not in row(trial, NEW, movements)
