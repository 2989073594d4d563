# SPDX-License-Identifier: GPL-2.0-only
"""`towline kernel`: see the programs that run, and replace them in mid-transfer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import App, Parameter
from rich.table import Table
from rich.text import Text

from towline.cli.options import FLAG
from towline.cli.screen import print_json, print_table, printable
from towline.delivery.pins import abandoned
from towline.errors import EndedError, FileError, TowlineError
from towline.kernel import predecessors
from towline.kernel.attached import Program
from towline.kernel.figures import figures
from towline.kernel.successor import PROGRAM_VERSION
from towline.running.places import Place, Role, place_called, places
from towline.running.rates import rates
from towline.running.sessions import sessions
from towline.running.swap import Swapped, Swapper
from towline.settings import split_flags

kernel = App(
    name="kernel",
    help=(
        "See and replace the programs of transfers that run: no reboot, no lost byte.\n\n"
        "A program belongs to an interface, IF or NAMESPACE/IF; all sessions on it are touched by a swap."
    ),
)
WATCH_S = 0.05
LISTEN_S = 1.0
Json = Annotated[bool, FLAG]


@kernel.command(name="list")
def list_(*, json: Json = False) -> int:
    """Show the interfaces with programs of towline, in every network namespace that may be entered.

    Parameters
    ----------
    json
        Print JSON on stdout, and nothing else.
    """
    found = []
    for place in places():
        with suppress(EndedError, FileNotFoundError):  # since it was found
            found.append(_described(place))
    if json:
        print_json(found)
        return 0
    if not found:
        print("no program of towline runs here: they run while `towline send` or `towline receive` does")
        return 0
    table = Table("interface", "role", "program", "version", "instructions", "sessions", "packets", "ACKs")
    for one in found:
        of_all = one["sessions"]
        table.add_row(
            Text(printable(one["interface"])),
            one["role"],
            str(one["program"]),
            str(one["version"]),
            f"{one['instructions']:,}",
            str(len(of_all)),
            f"{sum(session['packets'] for session in of_all):,}",
            f"{sum(session['counters']['acks'] for session in of_all):,}",
        )
    print_table(table)
    return 0


@kernel.command
def show(interface: str, /, *, json: Json = False) -> int:
    """Show one interface's program, its constants, and its sessions with all that they count.

    Parameters
    ----------
    interface
        IF, NAMESPACE/IF, or the number of a session.
    json
        Print JSON on stdout, and nothing else.
    """
    found = _described(_place(interface))
    if json:
        print_json(found)
        return 0
    table = Table(show_header=False, title=Text(printable(found["interface"])), title_justify="left")
    for name in ("role", "program", "version", "link", "instructions", "jited_bytes"):
        table.add_row(name, str(found[name]))
    for name, value in found["constants"].items():
        table.add_row(f"const {name}", str(value))
    print_table(table)
    for session in found["sessions"]:
        counters = session.pop("counters")
        table = Table(show_header=False, title=f"session {session.pop('number'):x}", title_justify="left")
        for name, value in (session | counters).items():
            table.add_row(name, "-" if value is None else f"{value:,}" if isinstance(value, int) else str(value))
        print_table(table)
    return 0


@kernel.command
def swap(
    interface: str,
    role: Role,
    file: Path,
    /,
    *,
    clang_flags: Annotated[str, Parameter(allow_leading_hyphen=True)] = "",
    json: Json = False,
) -> int:
    """Compile a program and put it in the place of the one that runs: maps, windows and bitmaps stay.

    It has to agree with the running one on the layout of state.h. What does not compile, or the verifier refuses,
    changes nothing. A receiver or sender whose transfer stands still afterwards goes back by itself.

    For example:

    towline kernel swap eth0 receiver src/towline/bpf/policies/adaptive.bpf.c

    Parameters
    ----------
    interface
        IF, NAMESPACE/IF, or the number of a session.
    role
        Whose program is to be replaced.
    file
        Its source; it may include towline's headers by their names.
    clang_flags
        What is said to clang behind the usual flags ("-O3 -DINTERVAL_NS=50000").
    json
        Print JSON on stdout, and nothing else.
    """
    _existing(file)
    with Swapper(_place(interface, role)) as swapper:
        _tell(swapper.swap(file, flags=split_flags(clang_flags)), json)
    return 0


@kernel.command
def rollback(interface: str, /, *, json: Json = False) -> int:
    """Put the program back that was there before the last swap.

    Parameters
    ----------
    interface
        IF, NAMESPACE/IF, or the number of a session.
    json
        Print JSON on stdout, and nothing else.
    """
    with Swapper(_place(interface)) as swapper:
        _tell(swapper.rollback(), json)
    return 0


@kernel.command
def watch(
    interface: str,
    role: Role,
    file: Path,
    /,
    *,
    clang_flags: Annotated[str, Parameter(allow_leading_hyphen=True)] = "",
    json: Json = False,
) -> int:
    """Swap a program whenever its file is saved, until Ctrl-C, and show what that did to the rate.

    Parameters
    ----------
    interface
        IF, NAMESPACE/IF, or the number of a session.
    role
        Whose program is to be replaced.
    file
        Its source.
    clang_flags
        What is said to clang behind the usual flags.
    json
        Print a line of JSON for each swap on stdout, and nothing else.
    """
    _existing(file)
    place, flags = _place(interface, role), split_flags(clang_flags)
    with Swapper(place) as swapper:
        if not json:
            print(f"watching {file}: save it, and it runs on {place.name}; Ctrl-C ends this", flush=True)
        saved = None
        while place.is_there():
            with suppress(FileNotFoundError):  # an editor may save by a new file in the place of the old one
                now = file.stat().st_mtime_ns
                if now != saved:
                    saved = now
                    _swap_and_listen(swapper, file, flags, json)
            time.sleep(WATCH_S)
    if not json:
        print(f"the program on {place.name} has ended, and with it this")
    return 0


@kernel.command
def clean(*, json: Json = False) -> int:
    """Remove what is pinned of programs that have ended.

    Parameters
    ----------
    json
        Print JSON on stdout, and nothing else.
    """
    folders = predecessors.forget_ended()
    for pins in abandoned():
        pins.remove_all()
        folders.append(pins.folder)
    gone = [f"{folder.parent.name}/{folder.name}" for folder in folders]
    if json:
        print_json(gone)
    else:
        print("\n".join(f"removed {path}" for path in gone) or "nothing is left of what has ended")
    return 0


def _swap_and_listen(swapper: Swapper, file: Path, flags: Sequence[str], json: bool) -> None:
    """What does not work is told, and the next save may do better."""
    before = _gbps(swapper.place)
    try:
        swapped = swapper.swap(file, flags=flags)
    except TowlineError as error:
        if json:
            print_json({"error": str(error)})
        else:
            print(f"nothing was changed: {error}", flush=True)
        return
    after = _gbps(swapper.place)
    if json:
        print_json(msgspec.to_builtins(swapped) | {"gbps_before": before, "gbps_after": after})
        return
    _tell(swapped, json)
    print(f"  {before:.2f} Gbit/s before, {after:.2f} after", flush=True)


def _gbps(place: Place) -> float:
    """Payload per second over all sessions of a place, over LISTEN_S."""
    with place.attached() as link, link.program() as program:
        before, began = {one.number: one for one in sessions(program)}, time.monotonic()
        time.sleep(LISTEN_S)
        after, seconds = sessions(program), time.monotonic() - began
    both = [(before[one.number], one) for one in after if one.number in before]
    return sum(rates(*looks, seconds).gbps or 0.0 for looks in both)


def _place(text: str, role: Role | None = None) -> Place:
    """An interface, or that on which a session is."""
    try:
        number = int(text, 16)
    except ValueError:
        return place_called(text, role)
    for place in places():
        if role in (None, place.role):
            with suppress(EndedError, FileNotFoundError), place.attached() as link, link.program() as program:
                if any(one.number == number for one in sessions(program)):
                    return place
    return place_called(text, role)


def _described(place: Place) -> dict[str, Any]:
    with place.attached() as link, link.program() as program:
        made = figures(program.fd)
        return {
            "interface": place.name,
            "role": place.role,
            "link": place.link,
            "program": program.number,
            "version": program.constant(PROGRAM_VERSION),
            "instructions": made.instructions,
            "jited_bytes": made.jited_bytes,
            "constants": _numbers(program),
            "sessions": [msgspec.to_builtins(one) for one in sessions(program)],
        }


def _numbers(program: Program) -> dict[str, int]:
    """Constants that are single numbers, but for secrets."""
    sizes = {name: value for name, value in program.constants().items() if len(value) <= 8 and "secret" not in name}
    return {name: int.from_bytes(value, "little") for name, value in sizes.items()}


def _tell(swapped: Swapped, json: bool) -> None:
    if json:
        print_json(msgspec.to_builtins(swapped))
        return
    touched = ", ".join(f"{number:x}" for number in swapped.sessions) or "none"
    print(
        f"{swapped.place.name}: version {swapped.version} (program {swapped.program}) instead of version"
        f" {swapped.before}, sessions touched: {touched}"
    )
    effect = (
        "no packet has come since" if swapped.effect_s is None else f"in effect after {swapped.effect_s * 1e6:.0f} us"
    )
    print(f"  ready in {swapped.prepare_s * 1e3:.0f} ms, put in place in {swapped.replace_s * 1e6:.0f} us, {effect}")


def _existing(file: Path) -> None:
    if not file.is_file():
        raise FileError(file, "there is no such file")
