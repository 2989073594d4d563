# SPDX-License-Identifier: GPL-2.0-only
"""A program that takes the place of one that runs: compiled, given its maps and constants, checked, loaded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from towline.errors import LayoutError, LoadError
from towline.kernel.attached import Program
from towline.kernel.btf import Types
from towline.kernel.clang import compile_program
from towline.kernel.identity import PROGRAM_VERSION, Identity
from towline.kernel.layout import differences
from towline.kernel.program import Object

# See state.h.
STATE_VERSION = "state_version"
SESSIONS = {  # by a program's name: the map that its sessions are in, and of what struct they are
    "receiver": ("receivers", "receiver_state"),
    "sender": ("senders", "sender_state"),
}
SHARED = ".bss.shared"
MAPS = frozenset(  # what else a program has is its policy's own, and begins anew
    {
        *(name for name, _ in SESSIONS.values()),
        *("slots", "records", "gaps"),
        *("lane_of_session", "sources", "schedules", "acknowledgements"),
    }
)
GIVEN = frozenset(  # constants that a program gets from who loads it; others, a policy's own, are as it was compiled
    {
        *("levels", "ethertype", "next_header", "udp_port", "spin_ns", "watch_gaps"),
        *("slots_bytes", "record_bytes", "sources_bytes", "live_secret"),
    }
)
STRUCTS = ("record", "acknowledgement", "mark", "want", "schedule_entry")  # shared, and no map's values by its type


def states(program: Program) -> NDArray[Any]:
    """The memory of all sessions of a program, open (`session` is not 0) or not, as it is now and will be."""
    return program.memory(*SESSIONS[program.name])


def next_version(running: Program, *others: Program) -> int:
    """One that neither these programs have nor a session remembers, as it does that of one that was taken back: a
    session begins its policy anew where it meets another version.
    """
    known = [Identity.of(program).version for program in (running, *others)]
    return max(*known, int(states(running)["served_by"].max())) + 1


def prepare(
    running: Program,
    source: Path,
    version: int,
    *,
    flags: Sequence[str] = (),
    include: Sequence[str] = (),
    others: Sequence[str] = (),
) -> Object:
    """An object, to be closed, whose program of the same name as the running one is loaded (and `others` of it), on its
    maps and with its constants, but for what it says of itself. `include`: flags by which it finds our headers.

    Raises CompileError, LoadError (the source's line in it) and LayoutError, and then nothing has changed.
    """
    new = Object(compile_program(source, flags=(*include, *flags)))
    try:
        if running.name not in new.program_names():
            has = ", ".join(new.program_names()) or "none"
            raise LoadError(f"{source.name} has no program {running.name!r}, which is to be replaced; it has {has}")
        _require_fit(running, new, source)
        theirs = new.constants()
        constants = {name: value for name, value in running.constants().items() if name in GIVEN and name in theirs}
        new.set_constants(**constants | Identity.made(version, source, flags).constants(theirs))
        new.keep(running.name, *others)
        for name in new.map_names():
            if name in (SHARED, *MAPS) and (shared := running.map(name)):
                new.reuse(name, shared.fd)
        new.load()
    except BaseException:
        new.close()
        raise
    return new


def _require_fit(running: Program, new: Object, source: Path) -> None:
    try:
        found = list(_differences(running, new))
    except TypeError as error:  # a type that has no place for sure, as a bit field's
        raise LayoutError(source.name, [str(error)]) from error
    if found:
        raise LayoutError(source.name, found)


def _differences(running: Program, new: Object) -> Iterator[str]:
    ours = running.constants()
    theirs = new.constants()
    if STATE_VERSION not in theirs or PROGRAM_VERSION not in theirs:
        yield f"it has no {STATE_VERSION} and {PROGRAM_VERSION}: it has to include receiver.h or succession.h"
        return
    if ours[STATE_VERSION] != theirs[STATE_VERSION]:
        numbers = [int.from_bytes(one[STATE_VERSION], "little") for one in (ours, theirs)]
        yield f"{STATE_VERSION} is {numbers[0]} in the running program and {numbers[1]} in the new one"
    for name, value in ours.items():
        if name in GIVEN and name in theirs and len(theirs[name]) != len(value):
            yield f"the constant {name} has {len(value)} bytes in the running program and not in the new one"
    variables = new.types.section(SHARED)
    for name, variable in running.types.section(SHARED).items():
        if name not in variables or variables[name].offset_bytes != variable.offset_bytes:
            yield f"the shared variable {name} is not in the new program, or elsewhere"
        else:
            yield from differences(variable.dtype, variables[name].dtype, name)
    for name in STRUCTS:
        one, other = _named(running.types, name), _named(new.types, name)
        if one is not None and other is not None:
            yield from differences(one, other, name)
    yield from _maps(running, new)


def _maps(running: Program, new: Object) -> Iterator[str]:
    for name in new.map_names():
        if name not in MAPS or (shared := running.map(name)) is None:
            continue
        if shared.kind != new.map_kind(name):
            yield f"the map {name} is of another kind"
            continue
        dtype, struct = new.value_dtype(name), new.value_name(name)
        if dtype is None or not dtype.fields:
            continue
        ours = _named(running.types, struct)
        if ours is None:
            yield f"the values of the map {name} are of a struct {struct!r}, which the running program does not have"
        else:
            yield from differences(ours, dtype, struct)


def _named(types: Types, name: str) -> np.dtype[Any] | None:
    with suppress(ValueError):
        return types.named(name)
    return None
