# SPDX-License-Identifier: GPL-2.0-only
"""`towline kernel`: see the programs that run, and replace them in mid-transfer."""

from __future__ import annotations

import os
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
from towline.errors import EndedError, FileError, PermissionsError, SettingsError, TowlineError
from towline.kernel import bpffs, predecessors
from towline.kernel.attached import Program
from towline.kernel.figures import figures
from towline.kernel.identity import Identity
from towline.running.places import Place, Role, place_called, places
from towline.running.rates import Meter
from towline.running.sessions import sessions
from towline.running.swap import Swapped, Swapper
from towline.settings import split_flags
from towline.transfer import successor

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
    found = _described(_place(interface))
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
        watching = _Watching(swapper, file, flags, json)
        while place.is_there():
            with suppress(EndedError):
                watching.look()
            time.sleep(WATCH_S)
    if not json:
        print(f"the program on {place.name} has ended, and with it this")
    return 0


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
    folders = successor.clean()
    folders += predecessors.forget_ended()  # of links that ended with what was pinned, too
    gone = [f"{folder.parent.name}/{folder.name}" for folder in folders]
    if json:
        print_json(gone)
    else:
        print("\n".join(f"removed {path}" for path in gone) or "nothing is left of what has ended")
    return 0


class _Watching:
    """`look` every WATCH_S: it swaps at once when the file was saved, and tells LISTEN_S later what that did."""

    def __init__(self, swapper: Swapper, file: Path, flags: Sequence[str], json: bool) -> None:
        self._swapper, self._file, self._flags, self._json = swapper, file, flags, json
        self._meter = Meter(LISTEN_S)
        self._began = time.monotonic()
        self._saved: int | None = None
        self._version = swapper.running_version
        self._listening: tuple[Swapped, float | None, float] | None = None  # the rate before, and since when

    def look(self) -> None:
        """Raises EndedError."""
        now = time.monotonic()
        self._meter.look(self._swapper.sessions(), now)
        if (version := self._swapper.running_version) != self._version:
            self._tell_replaced(version)
        if self._listening and now - self._listening[2] >= LISTEN_S:
            self._tell_rates()
        with suppress(FileNotFoundError):  # an editor may save by a new file in the place of the old one
            saved = self._file.stat().st_mtime_ns
            # What stands in the file in the beginning nobody waits for, so there is time to learn the rate before.
            if saved != self._saved and (self._saved is not None or now - self._began >= LISTEN_S):
                self._saved = saved
                self._swap()

    def _swap(self) -> None:
        """What does not work is told, and the next save may do better."""
        if self._listening:
            self._tell_rates()
        before = self._meter.gbps
        try:
            swapped = self._swapper.swap(self._file, flags=self._flags)
        except EndedError:
            raise
        except TowlineError as error:
            if self._json:
                print_json({"error": str(error)})
            else:
                print(f"nothing was changed: {error}", flush=True)
            return
        now = time.monotonic()
        self._meter.look(self._swapper.sessions(), now)
        self._meter.restart()
        self._version, self._listening = swapped.version, (swapped, before, now)
        if not self._json:
            _tell(swapped, self._json)

    def _tell_replaced(self, version: int) -> None:
        before, self._version, self._listening = self._version, version, None
        if self._json:
            print_json({"version": version, "instead_of": before})
            return
        print(
            f"version {version} runs instead of version {before}: the transfer stood still and its process took back"
            " what was put in place, or somebody else has swapped",
            flush=True,
        )

    def _tell_rates(self) -> None:
        assert self._listening is not None
        (swapped, before, _), after = self._listening, self._meter.gbps
        self._listening = None
        if self._json:
            print_json(msgspec.to_builtins(swapped) | {"gbps_before": before, "gbps_after": after})
            return
        said = ("-" if one is None else f"{one:.2f}" for one in (before, after))
        print("  {} Gbit/s before, {} after".format(*said), flush=True)


def _place(text: str, role: Role | None = None) -> Place:
    """An interface, or that on which a session is."""
    try:
        number = int(text, 16)
    except ValueError:
        return place_called(text, role)
    found = []
    for place in places():
        if role in (None, place.role):
            with suppress(EndedError, FileNotFoundError), place.attached() as link, link.program() as program:
                if any(one.number == number for one in sessions(program)):
                    found.append(place)
    if len(found) > 1:
        ends = " and ".join(f"{place.name} ({place.role})" for place in found)
        raise SettingsError(f"session {number:x} is seen at {ends}: name one of these interfaces instead")
    return found[0] if found else place_called(text, role)


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
