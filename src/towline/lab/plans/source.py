# SPDX-License-Identifier: GPL-2.0-only
"""A plan's TOML as it was written: its tables, and errors that name the line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from typing import Any

from towline.errors import SettingsError
from towline.lab.plans.axes import AXES, FREE, canonical, unknown
from towline.lab.plans.toml_lines import Where, lines
from towline.settings import PARAMETERS, option_of

_OPTIONS = {f"--{option_of(name)}": name for name in PARAMETERS} | {"--datapath": "datapath"}
_OPTION = re.compile(r"--[a-z][a-z-]*")
_AT_LINE = re.compile(r" \(at line (\d+), column \d+\)$")


class Source:
    """The text of a plan. `data`: what tomllib makes of it; SettingsError for what is no TOML."""

    def __init__(self, text: str, path: str) -> None:
        self.text, self.path = text, path
        try:
            self.data: dict[str, Any] = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            at = _AT_LINE.search(str(error))
            line = int(at[1]) if at else max(1, len(text.splitlines()))
            raise SettingsError(f"{path}:{line}: this is not TOML: {_AT_LINE.sub('', str(error))}") from None
        self._lines = lines(text)

    def line(self, where: Where) -> int:
        """The line on which something stands, or else what it would stand in."""
        while where and where not in self._lines:
            where = where[:-1]
        return self._lines.get(where, 1)

    def wrong(self, where: Where, what: object) -> SettingsError:
        """What is wrong there. Options of the command line that `what` speaks of get the names that plans use."""
        said = _OPTION.sub(lambda match: _OPTIONS.get(match[0], match[0]), str(what))
        return SettingsError(f"{self.path}:{self.line(where)}: {said}")

    def table(self, where: Where, written: object) -> Mapping[str, Any]:
        """A table; SettingsError where something else stands."""
        if not isinstance(written, dict):
            raise self.wrong(where, f"{where[-1]} is a table of names and values, not {written!r}")
        return written

    def only(self, where: Where, written: Mapping[str, Any], legal: tuple[str, ...]) -> None:
        """Refuse every name that means nothing there."""
        for name in written:
            if name not in legal:
                is_axis = not where and name in AXES
                hint = ". What holds for all cells stands under [settings], what is varied under [axes]"
                raise self.wrong((*where, name), unknown(name, legal) + (hint if is_axis else ""))

    def read(self, where: Where, parse: Callable[[Any], Any], written: object) -> Any:
        """A value through a function that raises SettingsError for what it does not like."""
        try:
            return parse(written)
        except SettingsError as error:
            raise self.wrong(where, error) from None

    def axis(self, where: Where, written: str, among: tuple[str, ...] = AXES) -> str:
        """The canonical name of an axis."""
        name: str = self.read(where, lambda one: canonical(one, among=among), written)
        return name

    def setting(self, where: Where, written: str) -> str:
        """The canonical name of a setting."""
        if written in FREE:
            raise self.wrong(where, f"{written} is no setting: it may be an axis")
        return self.axis(where, written, tuple(name for name in AXES if name not in FREE))
