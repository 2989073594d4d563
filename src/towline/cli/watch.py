# SPDX-License-Identifier: GPL-2.0-only
"""`towline kernel watch`: swap a program whenever its file is saved, and print what that did."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import msgspec

from towline.cli.options import FLAG
from towline.cli.screen import print_json
from towline.cli.swapping import ClangFlags, place_typed, print_swapped, require_file
from towline.errors import EndedError
from towline.parameter import Role
from towline.running.swap import Swapped, Swapper
from towline.running.watch import Displaced, Event, Measured, Refused, Watch
from towline.settings_text import split_flags

WATCH_S = 0.05  # between two looks
LISTEN_S = 1.0  # to the rate, before a swap and after it


def watch(
    interface: str,
    role: Role,
    file: Path,
    /,
    *,
    clang_flags: ClangFlags = "",
    json: Annotated[bool, FLAG] = False,
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
    require_file(file)
    place, flags = place_typed(interface, role), split_flags(clang_flags)
    with Swapper(place) as swapper:
        if not json:
            print(f"watching {file}: save it, and it runs on {place.name}; Ctrl-C ends this", flush=True)
        watching = Watch(swapper, file, flags=flags, listen_s=LISTEN_S)
        tell = _print_line if json else _say
        while place.is_there():
            with suppress(EndedError):
                for event in watching.look():
                    tell(event)
            time.sleep(WATCH_S)
    if not json:
        print(f"the program on {place.name} has ended, and with it this")
    return 0


def _print_line(event: Event) -> None:
    """As JSON; a swap is told with what it did."""
    match event:
        case Refused() | Displaced():
            print_json(msgspec.to_builtins(event))
        case Measured():
            rates: dict[str, Any] = {"gbps_before": event.gbps_before, "gbps_after": event.gbps_after}
            print_json(msgspec.to_builtins(event.swapped) | rates)


def _say(event: Event) -> None:
    match event:
        case Swapped():
            print_swapped(event)
        case Refused():
            print(f"nothing was changed: {event.error}", flush=True)
        case Displaced():
            print(
                f"version {event.version} runs instead of version {event.instead_of}: the transfer stood still and its"
                " process took back what was put in place, or somebody else has swapped",
                flush=True,
            )
        case Measured():
            said = ("-" if one is None else f"{one:.2f}" for one in (event.gbps_before, event.gbps_after))
            print("  {} Gbit/s before, {} after".format(*said), flush=True)
