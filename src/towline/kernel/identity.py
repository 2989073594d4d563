# SPDX-License-Identifier: GPL-2.0-only
"""What a program of ours says of itself: its version on its interface, and the file and flags it was compiled from."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

PROGRAM_VERSION = "program_version"  # constants of succession.h
_SOURCE, _FLAGS = "program_source", "program_flags"


class Speaking(Protocol):
    """A program that is loaded, or the object that it was loaded from."""

    def constants(self) -> dict[str, bytes]:
        """The bytes of each constant."""
        ...


@dataclass(frozen=True, kw_only=True)
class Identity:
    """`version`: 1 for the first program on an interface, one more for each that follows; 0: the program does not say,
    so it is not one of ours. `source` is a file's name without its folder; what does not fit is cut.
    """

    version: int
    source: str
    flags: str

    @classmethod
    def made(cls, version: int, source: Path, flags: Sequence[str]) -> Self:
        """Of a program that is being made; `flags`: what clang was told behind the usual ones."""
        return cls(version=version, source=source.name, flags=shlex.join(flags))

    @classmethod
    def of(cls, program: Speaking) -> Self:
        """What it says."""
        said = program.constants()
        return cls(
            version=int.from_bytes(said.get(PROGRAM_VERSION, b""), "little"),
            source=_text(said.get(_SOURCE, b"")),
            flags=_text(said.get(_FLAGS, b"")),
        )

    def constants(self, known: Mapping[str, bytes]) -> dict[str, int | bytes]:
        """To be set in an object before it is loaded, as far as it has them; `known`: what it has."""
        texts = {_SOURCE: self.source, _FLAGS: self.flags}
        found: dict[str, int | bytes] = {
            name: _padded(text, len(known[name])) for name, text in texts.items() if name in known
        }
        return found | {PROGRAM_VERSION: self.version}


def _padded(text: str, room: int) -> bytes:
    """As a string of C, in so many bytes."""
    raw = text.encode()
    if len(raw) >= room:
        raw = raw[: room - 4] + b"..."
    return raw.ljust(room, b"\0")


def _text(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode(errors="replace")
