# SPDX-License-Identifier: GPL-2.0-only
"""Settings as people write them, on a command line or in a plan."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any, get_args

from towline.errors import SettingsError
from towline.quantities import parse_directions, unit
from towline.settings import PARAMETERS, Datapath, check, default_of, type_of

_SWITCH = {"on": True, "true": True, "off": False, "false": False}


def parse_setting(name: str, text: str) -> Any:
    """A setting's value from how people write it: `64K`, `10ms`, `none`, `on`, `forward=1%,backward=5%`, `-O3 -g`.

    Raises SettingsError, also for a value that is not legal.
    """
    parameter = PARAMETERS[name]

    def parse_one(word: str) -> Any:
        if parameter.none_means and word.lower() == "none":
            return None
        return word if parameter.choices else unit(parameter.unit).parse(word)

    if parameter.directions:
        value: Any = parse_directions(text, parse_one, default_of(name))
    elif parameter.choices or parameter.low is not None:
        value = parse_one(text)
    elif type_of(name) is bool:
        value = _SWITCH.get(text.lower())
        if value is None:
            raise SettingsError(f"{text!r} is neither on nor off")
    else:
        value = split_flags(text)
    check(name, value)
    return value


def parse_clang_flags(assignments: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Settings from texts such as `sender=-O3 -mcpu=v2`: {"clang_flags_sender": ("-O3", "-mcpu=v2")}."""
    found: dict[str, tuple[str, ...]] = {}
    programs = [name.removeprefix("clang_flags_") for name in PARAMETERS if name.startswith("clang_flags_")]
    for text in assignments:
        program, equals, flags = text.partition("=")
        if not equals or program not in programs:
            raise SettingsError(f"{text!r}: write PROGRAM=FLAGS, with a program of {' or '.join(programs)}")
        found[f"clang_flags_{program}"] = split_flags(flags)
    return found


def split_flags(text: str) -> tuple[str, ...]:
    """Flags of a program as the shell would split them. Raises SettingsError."""
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise SettingsError(f"{text!r}: {error}") from error


def parse_datapath(text: str) -> dict[str, str]:
    """Settings from SENDER[:RECEIVER], where one word holds for both."""
    sender, colon, receiver = text.partition(":")
    found = {"datapath_sender": sender, "datapath_receiver": receiver if colon else sender}
    for value in found.values():
        if value not in get_args(Datapath):
            raise SettingsError(f"{text!r}: write SENDER[:RECEIVER], each {' or '.join(get_args(Datapath))}")
    return found
