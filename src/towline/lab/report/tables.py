# SPDX-License-Identifier: GPL-2.0-only
"""Tables of a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from towline.lab.report.page import text


@dataclass(frozen=True)
class Styled:
    """A table's entry that stands out; `kind`: red, grey, strong."""

    said: object
    kind: str


_WORDS = ("marks", "where", "why", "verdict")

Entry = object  # whatever has a text, or Styled


def table(header: Sequence[str], rows: Sequence[Sequence[Entry]], *, texts: int = 1, kind: str = "") -> str:
    """A table of HTML; the first `texts` columns are words, the others numbers, but for those called _WORDS."""
    numeric = [number >= texts and name not in _WORDS for number, name in enumerate(header)]
    head = "".join(
        f'<th scope="col"{_NUMBER if is_number else ""}>{text(name)}</th>'
        for name, is_number in zip(header, numeric, strict=True)
    )
    body = "".join(
        f"<tr>{''.join(_entry(one, is_number) for one, is_number in zip(row, numeric, strict=True))}</tr>\n"
        for row in rows
    )
    attribute = f' class="{kind}"' if kind else ""
    head = f"<thead><tr>{head}</tr></thead>"
    return f'<div class="wide"><table{attribute}>\n{head}\n<tbody>\n{body}</tbody>\n</table></div>\n'


def facts(said: Mapping[str, Entry]) -> str:
    """A table of names and what they are; what is None is left out."""
    rows = "".join(
        f'<tr><td class="facts">{text(name)}</td>{_entry(value, False)}</tr>\n'
        for name, value in said.items()
        if value is not None
    )
    return f'<div class="wide"><table>\n<tbody>\n{rows}</tbody>\n</table></div>\n'


_NUMBER = ' class="number"'


def _entry(entry: Entry, is_number: bool) -> str:
    kinds = ["number"] if is_number else []
    if isinstance(entry, Styled):
        kinds.append(entry.kind)
        entry = entry.said
    attribute = f' class="{" ".join(kinds)}"' if kinds else ""
    return f"<td{attribute}>{text(entry)}</td>"
