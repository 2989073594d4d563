# SPDX-License-Identifier: GPL-2.0-only
"""Options of the command line, made from the settings so that nothing is written twice."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

from cyclopts import Group, Parameter, Token

from towline import settings
from towline.settings import Settings

# Annotations for options that are no settings.
FLAG = Parameter(negative="", show_default=False)
SIZE = Parameter(converter=lambda _, tokens: settings.parse_size(tokens[0].value), metavar="SIZE")

_GROUPS = {
    "settings": Group("Settings", sort_key=2),
    "clang": Group("Programs", sort_key=3),
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """What was said of the settings; a generated subclass has a field for each of a side's settings, too."""

    clang_flags: Annotated[
        list[str] | None,
        Parameter(
            group=_GROUPS["clang"],
            help="PROGRAM=FLAGS: flags for clang when it compiles the program sender or receiver,"
            " for example sender=-O3; may be repeated.",
            negative="",
            allow_leading_hyphen=True,
        ),
    ] = field(default=None)

    def settings(self) -> Settings:
        """The settings; raises SettingsError with the legal values."""
        said: dict[str, Any] = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        flags = settings.parse_clang_flags(said.pop("clang_flags") or [])
        return Settings(**(said | flags))


def options_class(side: settings.Side) -> type[Options]:
    """A dataclass whose fields are the settings that `side` uses, annotated for the command line."""
    fields = [
        (name, Annotated[settings.type_of(name), _option(name)], field(default=_default(name)))
        for name in settings.parameters_of(side)
        if not name.startswith("clang_flags_")
    ]
    # In Python 3.11 a made class says that it is of the module "types", and cyclopts takes it for a builtin.
    return dataclasses.make_dataclass(
        f"{side.capitalize()}Options",
        fields,
        bases=(Options,),
        namespace={"__module__": __name__},
        frozen=True,
        kw_only=True,
    )


def _option(name: str) -> Parameter:
    parameter = settings.PARAMETERS[name]
    names = [f"--{settings.option_of(name)}"] + ([f"--{parameter.short}"] if parameter.short else [])
    legal = "" if parameter.choices else parameter.legal()
    return Parameter(
        name=names,
        group=_GROUPS["settings"],
        help=f"{parameter.help[0].upper()}{parameter.help[1:]}{f' ({legal})' if legal else ''}.",
        metavar={"bytes": "SIZE", "bursts": "N", "packets": "N"}.get(parameter.unit),
        converter=_converter(parameter),
        show_default=_shown_default(parameter, _default(name)),
        negative=None if settings.type_of(name) is bool else "",
    )


def _converter(parameter: settings.Parameter) -> Callable[..., Any] | None:
    if parameter.choices or parameter.low is None:
        return None

    def number(_type: Any, tokens: tuple[Token, ...]) -> int | None:
        text = tokens[0].value
        if parameter.none_means and text.lower() == "none":
            return None
        if parameter.unit == "bytes":
            return settings.parse_size(text)
        if not text.removeprefix("-").isdecimal():
            raise ValueError(f"{text!r} is not a whole number")
        return int(text)

    return number


def _default(name: str) -> Any:
    return next(f.default for f in dataclasses.fields(Settings) if f.name == name)


def _shown_default(parameter: settings.Parameter, default: Any) -> bool | Callable[[Any], str]:
    if default is None:
        return lambda _: parameter.none_means or "none"
    if parameter.unit == "bytes":
        return lambda _: settings.format_size(default)
    return True
