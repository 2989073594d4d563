# SPDX-License-Identifier: GPL-2.0-only
"""What a plan may vary: names of axes, and what a value as people write it does to the settings."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from towline import settings, settings_text
from towline.errors import SettingsError
from towline.quantities import DIRECTIONS, format_directions, format_size, parse_size, unit
from towline.settings import PARAMETERS

Written = int | float | bool | str  # what TOML has for a value
Changes = Mapping[tuple[str, str | None], Any]  # (setting, direction or None) -> value

LARGEST_SIZE_BYTES = 1 << 40
FREE = ("size", "arm")  # axes that are no settings: the file's size, and a label that changes nothing
_UNITS = {"time": "us", "microseconds": "us", "nanoseconds": "ns", "seconds": "s", "hex": ""}


@dataclass(frozen=True, kw_only=True)
class Axis:
    """What is varied, in words. `unit`: of a cell's `values` ("" : none); `numeric`: all of them are numbers."""

    name: str
    label: str
    unit: str
    numeric: bool

    @property
    def title(self) -> str:
        """As it stands at an axis of a plot."""
        return f"{self.label} ({self.unit})" if self.unit else self.label


@dataclass(frozen=True, kw_only=True)
class Value:
    """One value on an axis.

    `label`: in its shortest form, so that equal values have equal labels; `value`: a number in the record's unit, or
    the label; `changes`: to the settings; `size_bytes`: of the file, where that is the axis.
    """

    label: str
    value: float | str
    changes: Changes
    size_bytes: int | None = None


def _spellings() -> dict[str, str]:
    found = {name: name for name in ("datapath", *FREE)}
    for name, parameter in PARAMETERS.items():
        spelled = {name, settings.option_of(name).replace("-", "_"), parameter.short or name}
        found |= dict.fromkeys(spelled, name)
        if parameter.directions:
            found |= {f"{name}_{way}": f"{name}_{way}" for way in DIRECTIONS}
    return found


_SPELLINGS = _spellings()
AXES: tuple[str, ...] = tuple(dict.fromkeys(_SPELLINGS.values()))  # as plans and records call them
SETTINGS: tuple[str, ...] = tuple(name for name in AXES if name not in FREE)


def canonical(written: str, *, among: Collection[str] = AXES) -> str:
    """The name of an axis from any of its spellings (`acc` -> `ack_every`); SettingsError names the legal ones."""
    name = _SPELLINGS.get(written)
    if name is None or name not in among:
        near = [spelling for spelling, one in _SPELLINGS.items() if one in among]
        raise SettingsError(unknown(written, sorted(among), near))
    return name


def unknown(written: str, legal: Iterable[str], near: Iterable[str] = ()) -> str:
    """What to say of a name that there is not."""
    legal = list(legal)
    close = difflib.get_close_matches(written, [*legal, *near], n=1)
    guess = f": did you mean {close[0]}?" if close else "."
    return f"there is no {written!r} here{guess} There are: {', '.join(legal)}"


def split(name: str) -> tuple[str, str | None]:
    """A canonical name as a setting and a direction: `loss_forward` -> ("loss", "forward")."""
    for way in DIRECTIONS:
        stem = name.removesuffix(f"_{way}")
        if stem != name and stem in PARAMETERS:
            return stem, way
    return name, None


def targets(name: str) -> frozenset[str]:
    """What an axis determines, in pieces that overlap where two axes do: `loss` -> loss_forward, loss_backward."""
    if name == "datapath":
        return frozenset({"datapath_sender", "datapath_receiver"})
    if name in PARAMETERS and PARAMETERS[name].directions:
        return frozenset(f"{name}_{way}" for way in DIRECTIONS)
    return frozenset({name})


def words(name: str) -> str:
    """A canonical name as people say it: `consumer_delay_us` -> `consumer delay`."""
    stem, way = split(name)
    if stem.startswith("clang_flags_"):
        return f"clang's flags, {stem.removeprefix('clang_flags_')}"
    said = "file size" if stem == "size" else stem.removesuffix("_us").removesuffix("_ns").removesuffix("_s")
    return said.replace("_", " ") + (f", {way}" if way else "")


def unit_of(name: str) -> str:
    """The unit of an axis's values, "" where they have none."""
    if name == "size":
        return "bytes"
    parameter = PARAMETERS.get(split(name)[0])
    return "" if parameter is None else _UNITS.get(parameter.unit, parameter.unit)


def value_of(name: str, written: Written) -> Value:
    """What a value in a plan means on the axis of a canonical name; SettingsError for one that is not legal."""
    if not isinstance(written, Written):
        raise SettingsError(f"a value is a number, a text, true or false, not {written!r}")
    text = str(written).lower() if isinstance(written, bool) else str(written)
    if name == "size":
        size_bytes = size_of(text)
        return Value(label=format_size(size_bytes), value=size_bytes, changes={}, size_bytes=size_bytes)
    if name == "arm":
        return Value(label=text, value=text, changes={})
    if name == "datapath":
        both = settings_text.parse_datapath(text)
        label = ":".join(dict.fromkeys(both.values()))
        return Value(label=label, value=label, changes={(one, None): value for one, value in both.items()})
    stem, way = split(name)
    parsed = settings_text.parse_setting(stem, text)
    if way is not None:
        if "=" in text:
            raise SettingsError(f"{text!r}: {name} has one value, that of its direction")
        parsed = parsed[DIRECTIONS.index(way)]
    label = _label(stem, parsed)
    single = parsed[0] if isinstance(parsed, tuple) and PARAMETERS[stem].directions else parsed
    plain = isinstance(single, (int, float)) and not isinstance(single, bool) and "=" not in label
    return Value(label=label, value=single if plain else label, changes={(stem, way): parsed})


def size_of(text: str) -> int:
    """A file's size in bytes; SettingsError."""
    size_bytes = parse_size(text)
    if not 1 <= size_bytes <= LARGEST_SIZE_BYTES:
        raise SettingsError(f"a file of {text}: it must have from 1 byte to {format_size(LARGEST_SIZE_BYTES)}")
    return size_bytes


def apply(changes: Iterable[Changes]) -> dict[str, Any]:
    """Arguments of `Settings` from changes, later ones over earlier ones."""
    said: dict[str, Any] = {}
    for change in changes:
        for (name, way), value in change.items():
            if way is None:
                said[name] = value
            else:
                pair = list(said.get(name, settings.default_of(name)))
                pair[DIRECTIONS.index(way)] = value
                said[name] = tuple(pair)
    return said


def _label(name: str, value: Any) -> str:
    parameter = PARAMETERS[name]
    form = unit(parameter.unit).format
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return format_directions(value, form) if parameter.directions else shlex.join(value) or "none"
    return str(value) if parameter.choices else form(value)
