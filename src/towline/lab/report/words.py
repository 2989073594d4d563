# SPDX-License-Identifier: GPL-2.0-only
"""How a report writes numbers, intervals and the values of axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from towline.lab.plans.axes import Axis
from towline.lab.statistics import Interval
from towline.quantities import format_duration, format_rate, format_share, format_size

UNKNOWN = "-"
_DIGITS = 4
_DECIMALS_MOST = 6
_EXACT = 10
_SAID_UNITS = ("us", "ns", "s", "bytes")  # others go without saying: "ack every 32", "lanes 2"


def number(value: float | None, spread: float | None = None) -> str:
    """A number with as many decimals as an interval of width `spread` deserves, else with four digits."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    value = float(f"{value:.{_EXACT}g}")  # what lies behind that comes from the arithmetic
    if spread and spread > abs(value) / 10**_EXACT:
        decimals = -math.floor(math.log10(spread / 5))
    elif value == round(value):
        decimals = 0
    else:
        decimals = _DIGITS - 1 - math.floor(math.log10(abs(value)))
    return f"{value:,.{min(max(decimals, 0), _DECIMALS_MOST)}f}"


def estimate(value: float, low: float | None, high: float | None) -> str:
    """`1.84 (1.79 to 1.90)`, or the number alone where there is no interval."""
    if low is None or high is None:
        return number(value)
    spread = high - low
    return f"{number(value, spread)} ({number(low, spread)} to {number(high, spread)})"


def interval(found: Interval) -> str:
    """Between what a median lies, in words."""
    if found.low is None or found.high is None:
        return UNKNOWN
    spread = found.high - found.low
    return f"{number(found.low, spread)} to {number(found.high, spread)}"


def value_of(axis: Axis, label: str) -> str:
    """A value with what it is a value of: `loss 1%`, `consumer delay 300 us`."""
    if axis.name == "arm":  # a label that speaks for itself
        return label
    unit = f" {axis.unit}" if axis.unit in _SAID_UNITS and label.isdecimal() else ""
    return f"{axis.label} {label}{unit}"


def values_of(axes: Mapping[str, Axis], names: Iterable[str], labels: Mapping[str, str]) -> str:
    """Several values, with commas."""
    return ", ".join(value_of(axes[name], labels[name]) for name in names)


def counted(number_of: int, one: str, many: str = "") -> str:
    """`1 run`, `2 runs`."""
    return f"{number_of:,} {one if number_of == 1 else many or one + 's'}"


def _share(value: float) -> str:
    return format_share(float(f"{value:.3g}"))


def _duration(value: float) -> str:
    return format_duration(round(value)) if round(value) % 1000 == 0 else f"{number(value)}us"


def _rate(value: float) -> str:
    return format_rate(round(value)) if round(value) % 1_000_000 == 0 else f"{number(value / 1e6)}mbit"


_FORMS: Mapping[str, Callable[[Any], str]] = {
    "delay": _duration,
    "jitter": _duration,
    "rate": _rate,
    "pace": _rate,
    "queue": lambda value: format_size(round(value)),
    **dict.fromkeys(("loss", "corruption", "duplication", "reordering"), _share),
}


def impairment(name: str, value: float | None) -> str:
    """An impairment of a record (`delay` in us, `rate` in bit/s, `loss` as a share ...) as people write it."""
    if value is None:
        return UNKNOWN
    return _FORMS.get(name, number)(value)
