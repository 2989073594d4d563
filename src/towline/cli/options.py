# SPDX-License-Identifier: GPL-2.0-only
"""Options of the command line, made from the settings so that nothing is written twice."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from cyclopts import Group, Parameter, Token

from towline import settings, settings_text
from towline.errors import SettingsError
from towline.parameter import Parameter as Described
from towline.parameter import Side
from towline.quantities import format_directions, parse_size, unit
from towline.settings import Settings

# Annotations for options that are no settings.
FLAG = Parameter(negative="", show_default=False)
SIZE = Parameter(converter=lambda _, tokens: parse_size(tokens[0].value), metavar="SIZE")

_GROUPS = {
    "settings": Group("Settings", sort_key=2),
    "impairments": Group("Impairments of the path", sort_key=3),
    "clang": Group("Programs", sort_key=4),
}
WORDS = tuple[str, ...]
_WRITTEN_TOGETHER = ("clang_flags_", "datapath_")  # settings that are parts of one option


@dataclass(frozen=True, kw_only=True)
class Options:
    """What was said of the settings; a generated subclass has a field for each of a side's settings, too."""

    side: ClassVar[Side] = "lab"
    clang_flags: Annotated[
        list[str] | None,
        Parameter(
            group=_GROUPS["clang"],
            help="PROGRAM=FLAGS: flags for clang when it compiles the program sender, receiver or emulator,"
            " for example sender=-O3; may be repeated.",
            negative="",
            allow_leading_hyphen=True,
        ),
    ] = field(default=None)
    datapath: Annotated[
        str | None,
        Parameter(
            group=_GROUPS["settings"],
            help="Who does the per-packet work: XDP programs (ebpf), or ordinary sockets (socket)."
            " In the laboratory SENDER:RECEIVER sets them apart.",
            show_default=lambda _: "ebpf",
        ),
    ] = field(default=None)

    def settings(self) -> Settings:
        """The settings; raises SettingsError with the legal values."""
        said: dict[str, Any] = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        together: dict[str, Any] = settings_text.parse_clang_flags(said.pop("clang_flags") or [])
        datapath = said.pop("datapath")
        if datapath is not None:
            if self.side != "lab" and ":" in datapath:
                raise SettingsError(f"--datapath is {datapath}: the other side chooses its own")
            together |= settings_text.parse_datapath(datapath)
        return Settings(**(said | together))


def options_class(side: Side) -> type[Options]:
    """A dataclass whose fields are the settings that `side` uses, annotated for the command line."""
    fields = [
        (name, Annotated[settings.type_of(name), _option(name)], field(default=settings.default_of(name)))
        for name in settings.parameters_of(side)
        if not name.startswith(_WRITTEN_TOGETHER)
    ]
    # In Python 3.11 a made class says that it is of the module "types", and cyclopts takes it for a builtin.
    return dataclasses.make_dataclass(
        f"{side.capitalize()}Options",
        fields,
        bases=(Options,),
        namespace={"__module__": __name__, "side": side},
        frozen=True,
        kw_only=True,
    )


def _option(name: str) -> Parameter:
    parameter = settings.PARAMETERS[name]
    names = [f"--{settings.option_of(name)}"] + ([f"--{parameter.short}"] if parameter.short else [])
    legal = "" if parameter.choices else parameter.legal()
    return Parameter(
        name=names,
        group=_GROUPS["impairments" if parameter.directions else "settings"],
        help=f"{parameter.help[0].upper()}{parameter.help[1:]}{f' ({legal})' if legal else ''}.",
        metavar=unit(parameter.unit).metavar if parameter.low is not None else None,
        converter=_converter(name),
        # A pair is two tokens to a parser that goes by types, and words are any number.
        n_tokens=1 if parameter.directions or settings.type_of(name) == WORDS else None,
        show_default=_shown_default(parameter, settings.default_of(name)),
        negative=None if settings.type_of(name) is bool else "",
    )


def _converter(name: str) -> Callable[..., Any] | None:
    if settings.type_of(name) is bool:
        return None

    def convert(_type: Any, tokens: tuple[Token, ...]) -> Any:
        return settings_text.parse_setting(name, tokens[0].value)

    return convert


def _shown_default(parameter: Described, default: Any) -> bool | Callable[[Any], str]:
    ways = unit(parameter.unit)
    if parameter.directions and default != (None, None):
        return lambda _: format_directions(default, ways.format)
    if default is None or parameter.directions:
        return lambda _: parameter.none_means or "none"
    if parameter.low is not None:
        return lambda _: ways.format(default)
    return True
