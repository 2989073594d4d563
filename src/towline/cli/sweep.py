# SPDX-License-Identifier: GPL-2.0-only
"""`towline lab sweep`: plans carried out, each in a folder of its own."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

from towline.cli.options import FLAG
from towline.cli.screen import print_json, print_table, printable
from towline.cli.sweep_screen import SweepScreen
from towline.cli.sweep_tables import beforehand, cell_lines, dry_run_table, results_table
from towline.errors import PermissionsError, SettingsError, TowlineError
from towline.lab.plans import plan as plans
from towline.lab.plans.plan import Plan
from towline.lab.sweep.bench import WRONG_BYTES, bench
from towline.lab.sweep.results import Results
from towline.lab.sweep.sweep import sweep as carry_out

RESULTS = Path("results")


def sweep(
    *plan: Path,
    output: Path | None = None,
    repetitions: int | None = None,
    quick: Annotated[bool, FLAG] = False,
    dry_run: Annotated[bool, FLAG] = False,
    json: Annotated[bool, FLAG] = False,
) -> int:
    """Carry out an experiment: every cell of a plan, in blocks of random order, each run recorded at once.

    A sweep that was stopped, however it was, goes on where it stopped when the same command is given again. The
    exit code is 0 only if every file arrived as it was sent and the counters of every run add up; a transfer
    that fails is a result and told, but does not stop the others.

    For example:

    towline lab sweep plans/ack.toml --dry-run

    towline lab sweep plans/ack.toml

    towline lab sweep plans/loss.toml --repetitions 20 --output results/loss-at-night

    towline lab sweep plans/ack.toml plans/loss.toml --quick --output results/quick

    Then: towline lab report results/ack

    Parameters
    ----------
    plan
        Files with plans. See `towline lab list` for those that there are.
    output
        The folder for the records and what is made of them; of several plans, each gets a folder with its name in
        it. By default results/NAME.
    repetitions
        How many blocks, instead of what the plan says. More than before: the same sweep goes on.
    quick
        First, middle and last value of each axis, short runs, two blocks: to see whether a plan works.
    dry_run
        List the runs and the time that they will take, and do nothing.
    json
        Print each record as a line of JSON on stdout as it comes, and nothing else.
    """
    if not plan:
        raise SettingsError("say which plan: a file such as plans/ack.toml (`towline lab list` shows those there are)")
    found = [plans.read(path, quick=quick, repetitions=repetitions) for path in plan]  # all, before anything runs
    folders = _folders(found, output)
    if dry_run:
        for one, folder in zip(found, folders, strict=True):
            _tell_beforehand(one, folder, json=json)
        return 0
    problems: list[TowlineError] = []
    wrong = 0
    for one, folder in zip(found, folders, strict=True):
        again = _command(one, repetitions=repetitions, quick=quick, folder=folder)
        try:
            wrong += _carry_out(one, folder, again, quick=quick, json=json)
        except (PermissionsError, SettingsError):
            raise
        except TowlineError as error:  # the next plan may have more luck
            problems.append(error)
    if problems:
        raise problems[0]
    return 1 if wrong else 0


def _carry_out(plan: Plan, folder: Path, again: str, *, quick: bool, json: bool) -> int:
    """How many runs broke a promise."""
    with SweepScreen(plan, json=json) as screen:
        try:
            with bench() as tools:
                results = carry_out(plan, folder, tools, screen, quick=quick)
        except KeyboardInterrupt:
            screen.stopped(folder, again)
            raise
    if not json:
        print_table(results_table(results))
    screen.summary(results)
    return _broken(results)


def _broken(results: Results) -> int:
    """A transfer that gives up has kept its promise; one that delivers something else has not."""
    return sum(one["accounting"] is not None or one["failed"] == WRONG_BYTES for one in results.records)


def _folders(found: list[Plan], output: Path | None) -> list[Path]:
    names = [plan.name for plan in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise SettingsError(f"two of these plans are called {twice}, and would share a folder: sweep them one by one")
    if output is not None and len(found) == 1:
        return [output]
    return [(output or RESULTS) / name for name in names]


def _tell_beforehand(plan: Plan, folder: Path, *, json: bool) -> None:
    if json:
        for cell in cell_lines(plan, folder):
            print_json(cell)
    else:
        for line in beforehand(plan, folder):
            print(printable(line))
        print_table(dry_run_table(plan))


def _command(plan: Plan, *, repetitions: int | None, quick: bool, folder: Path) -> str:
    options = [f"--repetitions={repetitions}"] if repetitions is not None else []
    return shlex.join(
        ["towline", "lab", "sweep", plan.path, *options, *(["--quick"] if quick else []), f"--output={folder}"]
    )
