# SPDX-License-Identifier: GPL-2.0-only
"""On which line of a TOML text each key, table and list element stands (tomllib does not tell)."""

from __future__ import annotations

import re
from collections.abc import Mapping

Where = tuple[str | int, ...]  # as one indexes what tomllib returns: ("axes", "loss", 2)

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r]+|\#[^\n]*)
    |(?P<newline>\n)
    |(?P<string>\"{3}(?:\\.|[^\\])*?\"{3,5}|'{3}.*?'{3,5}|\"(?:\\.|[^\"\\])*\"|'[^']*')
    |(?P<mark>[\[\]{}=,])
    |(?P<bare>[^\s\#\"'\[\]{}=,]+)""",
    re.VERBOSE | re.DOTALL,
)


def lines(text: str) -> Mapping[Where, int]:
    """The line (from 1) of everything in a text that tomllib accepts, by its path."""
    return _Scan(text).found


class _Scan:
    def __init__(self, text: str) -> None:
        self.found: dict[Where, int] = {}
        self._tokens: list[tuple[str, str, int]] = []
        line = 1
        for match in _TOKEN.finditer(text):
            if match.lastgroup != "space":
                self._tokens.append((match.lastgroup or "", match[0], line))
            line += match[0].count("\n")
        self._at = 0
        self._document()

    def _peek(self) -> str:
        return self._tokens[self._at][1] if self._at < len(self._tokens) else ""

    def _more(self, end: str) -> bool:
        """Whether something stands before `end` ("": the end of the text); newlines are passed over."""
        while self._peek() == "\n":
            self._at += 1
        return self._peek() not in (end, "")

    def _document(self) -> None:
        table: Where = ()
        tables: dict[Where, int] = {}  # of each array of tables: how many there are
        while self._more(""):
            if self._peek() != "[":
                self._pair(table)
                continue
            line = self._tokens[self._at][2]
            self._at += 1
            is_element = self._peek() == "["
            self._at += is_element
            table = self._resolved(self._key("]"), tables)
            self._at += 1 + is_element
            for length in range(1, len(table) + 1):
                self.found.setdefault(table[:length], line)
            if is_element:
                number = tables[table] = tables.get(table, -1) + 1
                table = (*table, number)
                self.found[table] = line

    @staticmethod
    def _resolved(key: tuple[str, ...], tables: Mapping[Where, int]) -> Where:
        """A header's key with the number of each array of tables that it passes through."""
        where: Where = ()
        for depth, part in enumerate(key, 1):
            where = (*where, part)
            if depth < len(key) and where in tables:
                where = (*where, tables[where])
        return where

    def _key(self, end: str) -> tuple[str, ...]:
        parts: list[str] = []
        while self._peek() != end:
            kind, token, _ = self._tokens[self._at]
            parts += [token[1:-1]] if kind == "string" else [part for part in token.split(".") if part]
            self._at += 1
        return tuple(parts)

    def _pair(self, table: Where) -> None:
        line = self._tokens[self._at][2]
        where = (*table, *self._key("="))
        self._at += 1
        for length in range(len(table) + 1, len(where) + 1):
            self.found.setdefault(where[:length], line)
        self._value(where)

    def _value(self, where: Where) -> None:
        token = self._peek()
        self._at += 1
        if token == "[":  # noqa: S105 (no password)
            self._list(where)
        elif token == "{":  # noqa: S105
            self._inline_table(where)
        else:  # a date may have a space in it
            while self._at < len(self._tokens) and self._tokens[self._at][0] == "bare":
                self._at += 1

    def _list(self, where: Where) -> None:
        number = 0
        while self._more("]"):
            if self._peek() == ",":
                self._at += 1
                continue
            self.found[*where, number] = self._tokens[self._at][2]
            self._value((*where, number))
            number += 1
        self._at += 1

    def _inline_table(self, where: Where) -> None:
        while self._more("}"):
            if self._peek() == ",":
                self._at += 1
                continue
            self._pair(where)
        self._at += 1
