# SPDX-License-Identifier: GPL-2.0-only
"""What is to be known about a setting besides its type and default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from towline.quantities import unit

_COUNTED = ("packets", "bursts", "seconds", "microseconds", "nanoseconds")  # others' values show what they are

Role = Literal["receiver", "sender"]
ROLES: tuple[Role, ...] = get_args(Role)
Side = Role | Literal["lab"]


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One setting's.

    `option` is the long option's name where it is not the field's own; `low` and `high` are inclusive.
    `directions`: a pair of values, one for each direction. `record` is the name of its field in a record of
    results (a pair's: without the direction), None where it has none. `xdp_at`: sides of which one has to run XDP for
    the setting to mean anything; empty where sockets heed it as well.
    """

    help: str
    sides: frozenset[Side]
    option: str | None = None
    short: str | None = None
    unit: str = ""
    low: float | None = None
    high: float | None = None
    directions: bool = False
    power_of_two: bool = False
    choices: tuple[str, ...] = ()
    none_means: str | None = None
    record: str | None = None
    xdp_at: tuple[Role, ...] = ()

    def legal(self) -> str:
        """The legal values in words, for messages and help."""
        if self.choices:
            return " or ".join(self.choices)
        if self.low is None:
            return ""
        power = "a power of two " if self.power_of_two else ""
        most = "up" if self.high is None else f"to {self._show(self.high)}"
        counted = f" {self.unit}" if self.unit in _COUNTED and self.high is not None else ""
        none = f", or none: {self.none_means}" if self.none_means else ""
        return f"{power}from {self._show(self.low)} {most}{counted}{none}"

    def allows(self, value: object) -> bool:
        """Whether a value is legal, as far as it is a number."""
        if not isinstance(value, (int, float) if self.unit == "share" else int) or isinstance(value, bool):
            return False
        if self.low is not None and value < self.low:
            return False
        if self.high is not None and value > self.high:
            return False
        return not self.power_of_two or int(value) & (int(value) - 1) == 0

    def _show(self, value: float) -> str:
        return unit(self.unit).format(value)
