# SPDX-License-Identifier: GPL-2.0-only
"""`towline kernel`: see the programs that run, and replace them in mid-transfer."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import App
from rich.table import Table
from rich.text import Text

from towline.cli.options import FLAG
from towline.cli.screen import print_json, print_table, printable
from towline.cli.swapping import ClangFlags, place_typed, print_swapped, require_file
from towline.cli.watch import watch
from towline.errors import EndedError, PermissionsError
from towline.kernel import bpffs, predecessors
from towline.kernel.attached import Program
from towline.kernel.figures import figures
from towline.kernel.identity import Identity
from towline.parameter import Role
from towline.running.places import Place, places
from towline.running.sessions import sessions
from towline.running.swap import Swapped, Swapper
from towline.settings_text import split_flags
from towline.transfer.persist import resumption

kernel = App(
    name="kernel",
    help=(
        "See and replace the programs of transfers that run: no reboot, no lost byte.\n\n"
        "A program belongs to an interface, IF or NAMESPACE/IF; all sessions on it are touched by a swap."
    ),
)
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
    table = Table("interface", "role", "XDP", "version", "source", "flags", "sessions", "packets", "ACKs")
    for one in found:
        of_all = one["sessions"]
        table.add_row(
            Text(printable(one["interface"])),
            one["role"],
            one["mode"],
            f"{one['version']} (program {one['program']})",
            Text(printable(one["source"])),
            Text(printable(one["flags"]) or "-"),
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
    found = _described(place_typed(interface))
    if json:
        print_json(found)
        return 0
    table = Table(show_header=False, title=Text(printable(found["interface"])), title_justify="left")
    for name in ("role", "mode", "version", "source", "flags", "program", "link", "instructions", "jited_bytes"):
        table.add_row(name, Text(printable(str(found[name])) or "-"))
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
    clang_flags: ClangFlags = "",
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
    require_file(file)
    with Swapper(place_typed(interface, role)) as swapper:
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
    with Swapper(place_typed(interface)) as swapper:
        _tell(swapper.rollback(), json)
    return 0


kernel.command(watch)


@kernel.command
def clean(*, json: Json = False) -> int:
    """Remove what killed receivers have left: programs and memory that are pinned, and partial files.

    Parameters
    ----------
    json
        Print JSON on stdout, and nothing else.
    """
    if os.geteuid() != 0 and bpffs.existing() is None:  # another's folder looks like none
        raise PermissionsError("seeing what killed receivers have left", "of who started them")
    folders = resumption.clean()
    folders += predecessors.forget_ended()  # of links that ended with what was pinned, too
    gone = [f"{folder.parent.name}/{folder.name}" for folder in folders]
    if json:
        print_json(gone)
    else:
        print("\n".join(f"removed {path}" for path in gone) or "nothing is left of what has ended")
    return 0


def _described(place: Place) -> dict[str, Any]:
    with place.attached() as link, link.program() as program:
        made = figures(program.fd)
        return {
            "interface": place.name,
            "role": place.role,
            "mode": place.mode,
            "link": place.link,
            "program": program.number,
            **msgspec.to_builtins(Identity.of(program)),
            "instructions": made.instructions,
            "jited_bytes": made.jited_bytes,
            "constants": _numbers(program),
            "sessions": [msgspec.to_builtins(one) for one in sessions(program)],
        }


def _numbers(program: Program) -> dict[str, int]:
    """Constants that are single numbers, but for secrets."""
    types = program.types.section(".rodata")
    numbers = {
        name: value
        for name, value in program.constants().items()
        if types[name].dtype.kind in "iub" and "secret" not in name
    }
    return {name: int.from_bytes(value, "little") for name, value in numbers.items()}


def _tell(swapped: Swapped, json: bool) -> None:
    if json:
        print_json(msgspec.to_builtins(swapped))
    else:
        print_swapped(swapped)
