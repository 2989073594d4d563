# SPDX-License-Identifier: GPL-2.0-only
"""`towline lab`: transfers in a laboratory on this machine, and cleaning up after it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from towline.cli.catalogue import list_
from towline.cli.compare import compare
from towline.cli.options import FLAG, SIZE, Options, options_class
from towline.cli.report import report
from towline.cli.screen import Screen, print_json, print_table, runs_table
from towline.cli.soak import soak
from towline.cli.sweep import sweep
from towline.errors import CompileError, IntegrityError, RunError, SettingsError
from towline.lab import leftovers
from towline.lab.run import Run, run

if TYPE_CHECKING:
    LabOptions = Options
else:
    LabOptions = options_class("lab")

lab = App(name="lab", help="Transfers and experiments in a laboratory on this machine.")
lab.command(list_, name="list")
lab.command(sweep)
lab.command(report)
lab.command(compare)
lab.command(soak)


@lab.command(usage="towline lab transfer (--file PATH | --size SIZE) [OPTIONS]")
def transfer(
    *,
    file: Path | None = None,
    size: Annotated[int | None, SIZE] = None,
    output: Path | None = None,
    repetitions: int = 1,
    seed: int = 0,
    capture: Path | None = None,
    json: Annotated[bool, FLAG] = False,
    options: Annotated[LabOptions, Parameter(name="*")] = LabOptions(),  # noqa: B008 (it is frozen)
) -> int:
    """Send a file, or random bytes, from one network namespace to another, and measure it.

    The exit code is 0 only if every repetition was verified. What an option's short form means stands
    with it; sizes may be written as 64K, 256M or 1G.

    For example:

    towline lab transfer --size 256M --delivery ring --json

    towline lab transfer --size 1G --sink memory --lanes 2 --repetitions 5

    towline lab transfer --size 64M --delivery ring --ring-size 64K --consumer-delay 2000

    towline lab transfer --size 16M --level udp6 --datapath socket:ebpf --delay 10ms --loss forward=1%,backward=5%

    Parameters
    ----------
    file
        The file to send.
    size
        Send that many random bytes instead of a file.
    output
        Where the received file goes; by default a temporary folder that is removed afterwards.
    repetitions
        How many times.
    seed
        Seed of the random bytes, and of what the emulator does to frames.
    capture
        Write what crossed the path to this pcap file (nothing else sees frames that XDP takes).
    json
        Print one record as a line of JSON for each repetition on stdout, and nothing else.
    """
    if (file is None) == (size is None):
        raise SettingsError("say what to send: either --file PATH or --size SIZE")
    if repetitions < 1:
        raise SettingsError(f"--repetitions is {repetitions}: it must be 1 or more")
    source = size if file is None else file
    assert source is not None
    settings = options.settings()
    records = []
    with Screen(summary=False) as screen:
        for repetition in range(repetitions):
            plan = Run(
                source=source,
                settings=settings,
                seed=seed,
                repetition=repetition,
                output=output,
                overwrite=repetition > 0,
                capture=capture,
            )
            records.append(run(plan, screen))
            if json:
                print_json(records[-1])
    if not json:
        print_table(runs_table(records))
    refused = [record["refused"] for record in records if record["refused"]]
    if refused:
        side, _, what = refused[0].partition(": ")
        raise RunError(side, what, exit_code=CompileError.exit_code)
    wrong = [str(record["repetition"]) for record in records if not record["verified"]]
    if wrong:
        raise IntegrityError(f"the file of repetition {', '.join(wrong)} differs from its source")
    return 0


@lab.command
def clean() -> int:
    """Remove what an earlier start left behind: namespaces and temporary folders whose owner is gone."""
    removed = leftovers.sweep()
    for thing in removed:
        print(f"removed {thing}")
    if not removed:
        print("nothing was left behind")
    return 0
