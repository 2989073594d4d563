# SPDX-License-Identifier: GPL-2.0-only
"""What the commands share that swap programs: whose, by which file, and how it is told."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from towline.errors import EndedError, FileError, SettingsError
from towline.parameter import Role
from towline.running.places import Place, place_called, places
from towline.running.sessions import sessions
from towline.running.swap import Swapped

ClangFlags = Annotated[str, Parameter(allow_leading_hyphen=True)]


def place_typed(text: str, role: Role | None = None) -> Place:
    """An interface, or that on which a session is. Raises SettingsError."""
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


def require_file(file: Path) -> None:
    """Raises FileError where there is none."""
    if not file.is_file():
        raise FileError(file, "there is no such file")


def print_swapped(swapped: Swapped) -> None:
    """A swap, in words."""
    touched = ", ".join(f"{number:x}" for number in swapped.sessions) or "none"
    print(
        f"{swapped.place.name}: version {swapped.version} (program {swapped.program}) instead of version"
        f" {swapped.before}, sessions touched: {touched}"
    )
    effect = (
        "no packet has come since" if swapped.effect_s is None else f"in effect after {swapped.effect_s * 1e6:.0f} us"
    )
    print(f"  ready in {swapped.prepare_s * 1e3:.0f} ms, put in place in {swapped.replace_s * 1e6:.0f} us, {effect}")
