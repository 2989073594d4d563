# SPDX-License-Identifier: GPL-2.0-only
"""`towline lab compare`: towline and every yardstick that is installed, over the same path, with the same file."""

from __future__ import annotations

import difflib
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.table import Table
from rich.text import Text

from towline.cli.compare_screen import CompareScreen
from towline.cli.options import FLAG, SIZE
from towline.cli.screen import print_table, printable
from towline.cli.sweep import RESULTS
from towline.errors import SettingsError
from towline.lab.compare import compare as comparing
from towline.lab.compare import comparison as comparisons
from towline.lab.compare import scoreboard
from towline.lab.compare.comparison import Compared, Comparison
from towline.lab.compare.contestants import Contestant, contestants, missing
from towline.lab.sweep.bench import WRONG_BYTES
from towline.quantities import format_directions, format_share, parse_duration, parse_share, unit
from towline.settings import PARAMETERS, Settings
from towline.settings_text import parse_setting

MIB = 1 << 20
CLEAN_BYTES = 256 * MIB
CAP_MOST_S = 3600
_IMPAIRMENT = Parameter(metavar="VALUE", show_default=False)

Said = Annotated[str | None, _IMPAIRMENT]


def compare(
    *,
    loss: Annotated[str, Parameter(metavar="SHARE,...")] = "0%",
    rate: Said = None,
    delay: Said = None,
    jitter: Said = None,
    queue: Said = None,
    loss_burst: Said = None,
    corrupt: Said = None,
    duplicate: Said = None,
    reorder: Said = None,
    size: Annotated[int | None, SIZE] = None,
    repetitions: int = 6,
    cap: Annotated[str, Parameter(metavar="TIME")] = "20s",
    only: Annotated[str | None, Parameter(metavar="NAME,...")] = None,
    output: Path = RESULTS / "compare",
    seed: int | None = None,
    json: Annotated[bool, FLAG] = False,
    dry_run: Annotated[bool, FLAG] = False,
) -> int:
    """Compare towline with TCP, UDP, QUIC, rsync, scp and iperf3: one file, one path, in turns and in random order.

    Each block runs every contestant at every loss once. A comparison that was stopped goes on where it stopped when
    the same command is given again. What is not installed is named, with how to get it. The exit code is 0 only if
    every file that arrived was the one that was sent.

    For example:

    towline lab compare --rate 200mbit --delay 20ms --loss 0%,0.1%,1%,5%

    towline lab compare --size 256M

    towline lab compare --rate 100mbit --delay 5ms --loss 1% --only towline,tcp-cubic,tcp-bbr --repetitions 10

    Parameters
    ----------
    loss
        Shares of frames that are lost, each way; several with commas.
    rate
        How fast the path is (200mbit). towline and UDP are told it, because they do not find it out.
    delay
        How long a frame is under way, each way (20ms): half the round trip.
    jitter
        How far a frame's delay varies, to either side.
    queue
        How much waits in front of the rate before frames are dropped; by default what a round trip carries.
    loss_burst
        Mean length of a burst of losses.
    corrupt
        Share of frames with flipped bits.
    duplicate
        Share of frames that come twice.
    reorder
        Share of frames that others overtake.
    size
        Of the file of random bytes; by default what the path carries in a second, at least 1M; on a clean pair 256M.
    repetitions
        How many blocks: with six or more there are intervals. More than before: the same comparison goes on.
    cap
        A run is stopped after that time, and what has arrived by then is counted.
    only
        Names of the contestants, with commas, instead of all.
    output
        The folder for records, page and plot.
    seed
        Of the random order and the path's chances; by default a new one, which is recorded.
    json
        Print each record as a line of JSON on stdout as it comes, and nothing else.
    dry_run
        Say what would be done and how long it will take, and do nothing.
    """
    path = _path(
        rate=rate,
        delay=delay,
        jitter=jitter,
        queue=queue,
        loss_burst=loss_burst,
        corrupt=corrupt,
        duplicate=duplicate,
        reorder=reorder,
    )
    wanted = _wanted(path, _losses(loss), size, repetitions, _cap_s(cap), _names(only), _seed(seed, output))
    comparing.check(wanted)
    planned = Compared(folder=output, comparison=wanted, records=[])
    if not json:
        for line in scoreboard.beforehand(planned, output):
            print(printable(line), flush=True)
    if dry_run:
        return 0
    with CompareScreen(json=json) as screen:
        try:
            with comparing.tools() as tools:
                found = comparing.compare(wanted, output, tools, screen)
        except KeyboardInterrupt:
            screen.stopped(output)
            raise
    return _show(found, screen, json=json)


def _show(found: Compared, screen: CompareScreen, *, json: bool) -> int:
    from towline.lab.report import comparison as report  # noqa: PLC0415 (matplotlib takes a while)

    if not json:
        for table in scoreboard.tables(found):
            print_table(_rich(table))
            for note in table.notes:
                print(f"  {printable(note)}")
        for answer in scoreboard.answers(found):
            print(printable(answer))
    screen.summary(found, report.write(found))
    return 1 if any(one["failed"] == WRONG_BYTES for one in found.records) else 0


def _rich(said: scoreboard.Table) -> Table:
    table = Table(title=Text(said.title), title_justify="left")
    for number, name in enumerate(said.header):
        table.add_column(Text(name), justify="right" if number else "left")
    for row in said.rows:
        table.add_row(*map(Text, row))
    return table


def _wanted(
    path: dict[str, str],
    losses: tuple[float, ...],
    size_bytes: int | None,
    repetitions: int,
    cap_s: float,
    only: tuple[str, ...],
    seed: int,
) -> Comparison:
    if repetitions < 1:
        raise SettingsError(f"--repetitions is {repetitions}: it must be 1 or more")
    if size_bytes is not None and size_bytes < 1:
        raise SettingsError("--size is 0: there must be something to send")
    everybody = contestants(emulated=bool(path) or any(losses), told="rate" in path)
    chosen = _chosen(everybody, only)
    absent = {name: why for name in chosen if (why := missing(everybody[name]))}
    if len(absent) == len(chosen):
        raise SettingsError(f"nobody is there to be compared: {'; '.join(absent.values())}")
    return Comparison(
        seed=seed,
        repetitions=repetitions,
        size_bytes=size_bytes or _size_bytes(path),
        cap_s=cap_s,
        path=path,
        losses=losses,
        contestants=tuple(name for name in chosen if name not in absent),
        only=only,
        missing=absent,
    )


def _path(**said: str | None) -> dict[str, str]:
    """The impairments that were asked for, as `parse_setting` reads them; what impairs nothing is left out."""
    found = {}
    for name, text in said.items():
        if text is None:
            continue
        try:
            value = parse_setting(name, text)
        except SettingsError as error:
            raise SettingsError(f"--{name.replace('_', '-')}: {error}") from None
        if value != getattr(Settings(), name):
            found[name] = format_directions(value, unit(PARAMETERS[name].unit).format)
    return found


def _losses(text: str) -> tuple[float, ...]:
    try:
        found = tuple(parse_share(one) for one in text.split(","))
    except SettingsError as error:
        raise SettingsError(f"--loss: {error}; several with commas: 0%,1%") from None
    if max(found) >= 1:
        raise SettingsError("--loss: of a path that loses everything nothing can be compared; below 100%")
    twice = next((one for one in found if found.count(one) > 1), None)
    if twice is not None:
        raise SettingsError(f"--loss: {format_share(twice)} stands there twice")
    return found


def _cap_s(text: str) -> float:
    found = parse_duration(text) / 1e6
    if not 1 <= found <= CAP_MOST_S:
        raise SettingsError(f"--cap is {text}: from 1s to {CAP_MOST_S}s")
    return found


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.strip() for one in text.split(","))) if text else ()


def _chosen(everybody: dict[str, Contestant], only: Iterable[str]) -> list[str]:
    for name in only:
        if name not in everybody:
            near = difflib.get_close_matches(name, everybody, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise SettingsError(f"--only: there is no contestant {name!r}; {hint}There are {', '.join(everybody)}")
    return [name for name in everybody if not only or name in only]


def _seed(seed: int | None, folder: Path) -> int:
    """What was asked for, or that of the comparison that is there, or a new one."""
    if seed is not None:
        return seed
    begun = comparisons.read_comparison(folder)
    return secrets.randbits(31) if begun is None else begun.seed


def _size_bytes(path: dict[str, str]) -> int:
    """What the path carries in a second, in whole MiB."""
    rate_bps = parse_setting("rate", path["rate"])[0] if "rate" in path else None
    if rate_bps is None:
        return CLEAN_BYTES
    return max(1, int(rate_bps) // 8 // MIB) * MIB
