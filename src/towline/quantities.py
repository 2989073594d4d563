# SPDX-License-Identifier: GPL-2.0-only
"""Quantities as people write them - sizes, rates, durations, shares - and back, exactly."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from towline.errors import SettingsError

Number = int | float

_NUMBER = r"\s*(\d+(?:\.\d+)?)\s*"
_SIZE = re.compile(rf"{_NUMBER}([KMGT]?)(?:I?B)?\s*", re.IGNORECASE | re.ASCII)
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
_RATE = re.compile(rf"{_NUMBER}([KMGT]?)(?:BIT)?(?:/S)?\s*", re.IGNORECASE | re.ASCII)
_DURATION = re.compile(rf"{_NUMBER}(US|MS|S|)\s*", re.IGNORECASE | re.ASCII)
_MICROSECONDS = {"us": 1, "ms": 1_000, "s": 1_000_000}
_SHARE = re.compile(rf"{_NUMBER}(%?)\s*", re.ASCII)


def parse_size(text: str) -> int:
    """Bytes in a size such as 1500, 64K, 256MiB or 1.5G; the letters are powers of 1024."""
    number, letter = _match(_SIZE, text, "a size: write bytes, or a number with K, M, G or T (256M)")
    return _whole(Decimal(number) * 1024 ** _POWERS[letter.upper()], text, "bytes")


def format_size(size_bytes: int) -> str:
    """A size as `parse_size` reads it: 16777216 -> 16M, 1500 -> 1500."""
    return _with_letter(size_bytes, 1024)


def parse_rate(text: str) -> int:
    """Bits per second in a rate such as 500mbit, 10Gbit or 64k; the letters are powers of 1000, as for tc."""
    number, letter = _match(_RATE, text, "a rate: write bits per second, or a number with kbit, mbit or gbit (500mbit)")
    return _whole(Decimal(number) * 1000 ** _POWERS[letter.upper()], text, "bits per second")


def format_rate(bits_per_second: int) -> str:
    """A rate as `parse_rate` reads it: 500000000 -> 500mbit."""
    return f"{_with_letter(bits_per_second, 1000).lower()}bit"


def parse_duration(text: str) -> int:
    """Microseconds in a duration such as 10ms, 0.5s or 100us; a bare number must be 0."""
    number, unit = _match(_DURATION, text, "a duration: write a number with us, ms or s (10ms)")
    if not unit and Decimal(number):
        raise SettingsError(f"{text!r} has no unit: write {text.strip()}us, {text.strip()}ms or {text.strip()}s")
    return _whole(Decimal(number) * _MICROSECONDS.get(unit.lower(), 1), text, "microseconds")


def format_duration(us: int) -> str:
    """A duration as `parse_duration` reads it: 10000 -> 10ms."""
    unit = next(unit for unit in ("s", "ms", "us") if us % _MICROSECONDS[unit] == 0)
    return f"{us // _MICROSECONDS[unit]}{unit}"


def parse_share(text: str) -> float:
    """A share from 0 to 1, written as 1% or 0.01."""
    number, percent = _match(_SHARE, text, "a share: write a percentage (1%) or a number from 0 to 1")
    share = float(Decimal(number) / (100 if percent else 1))
    if share > 1:
        raise SettingsError(f"{text!r} is more than all: did you mean {text.strip()}%?")
    return share


def format_share(share: float) -> str:
    """A share as `parse_share` reads it: 0.01 -> 1%."""
    return f"{(Decimal(repr(float(share))) * 100).normalize():f}%"


def parse_number(text: str) -> int:
    """A whole number, decimal or as 0x1501."""
    try:
        return int(text, 0)
    except ValueError:
        raise SettingsError(f"{text!r} is not a whole number") from None


@dataclass(frozen=True, kw_only=True)
class Unit:
    """How values of a unit are written: `metavar` stands for them in help."""

    parse: Callable[[str], Number]
    format: Callable[[Any], str]
    metavar: str


_COUNT = Unit(parse=parse_number, format=str, metavar="N")
_UNITS = {
    "bytes": Unit(parse=parse_size, format=format_size, metavar="SIZE"),
    "bit/s": Unit(parse=parse_rate, format=format_rate, metavar="RATE"),
    "time": Unit(parse=parse_duration, format=format_duration, metavar="TIME"),
    "share": Unit(parse=parse_share, format=format_share, metavar="SHARE"),
    "hex": Unit(parse=parse_number, format=hex, metavar="N"),
}


def unit(name: str) -> Unit:
    """A unit's ways; what is merely counted has those of whole numbers."""
    return _UNITS.get(name, _COUNT)


DIRECTIONS = ("forward", "backward")  # sender to receiver, and what comes back


def parse_directions(text: str, parse: Callable[[str], Number], rest: tuple[Any, Any]) -> tuple[Any, Any]:
    """(forward, backward) from `1%`, which holds for each, or `forward=1%,backward=5%`; `rest`: what is not named."""
    if "=" not in text:
        value = parse(text)
        return value, value
    found = dict(zip(DIRECTIONS, rest, strict=True))
    for part in text.split(","):
        name, equals, value_text = part.strip().partition("=")
        if not equals or name not in found:
            raise SettingsError(f"{text!r}: write one value, or forward=VALUE,backward=VALUE")
        found[name] = parse(value_text)
    return found["forward"], found["backward"]


def format_directions(pair: tuple[Any, Any], format_value: Callable[[Any], str]) -> str:
    """As `parse_directions` reads it; a direction that has no value (None) is left out."""
    if pair[0] == pair[1]:
        return "none" if pair[0] is None else format_value(pair[0])
    said = zip(DIRECTIONS, pair, strict=True)
    return ",".join(f"{name}={format_value(value)}" for name, value in said if value is not None)


def _match(pattern: re.Pattern[str], text: str, wanted: str) -> tuple[str, str]:
    match = pattern.fullmatch(text)
    if match is None:
        raise SettingsError(f"{text!r} is not {wanted}")
    return match[1], match[2]


def _whole(value: Decimal, text: str, what: str) -> int:
    if value != int(value):
        raise SettingsError(f"{text!r} is not a whole number of {what}")
    return int(value)


def _with_letter(value: int, base: int) -> str:
    for letter in ("T", "G", "M", "K"):
        scale = base ** _POWERS[letter]
        if value and value % scale == 0:
            return f"{value // scale}{letter}"
    return str(value)
