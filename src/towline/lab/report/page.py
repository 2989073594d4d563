# SPDX-License-Identifier: GPL-2.0-only
"""A page in one file: HTML with its style and its pictures in it, which opens without a network and without scripts."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_STYLE = """
:root { color-scheme: light; }
body { margin: 0 auto; padding: 1.5rem; max-width: 62rem; background: #fff; color: #1a1a1a;
       font: 16px/1.5 system-ui, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .5rem; }
h2 { font-size: 1.25rem; margin: 2.2rem 0 .6rem; padding-top: .6rem; border-top: 1px solid #ccc; }
h3 { font-size: 1.05rem; margin: 1.6rem 0 .4rem; }
section.whole { margin-top: 3.5rem; border-top: 4px solid #1a1a1a; }
a { color: #00558c; }
figure { margin: .5rem 0 1.5rem; }
figure svg { display: block; max-width: 100%; height: auto; }
figcaption, .note { color: #555; font-size: .875rem; }
.lead { font-size: 1.05rem; }
.warning { border-left: 4px solid #d55e00; padding: .4rem .8rem; background: #fdf3ec; }
.wide { overflow-x: auto; margin: .5rem 0 1rem; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; text-align: left; vertical-align: top; border-bottom: 1px solid #e3e3e3; }
th { background: #f4f4f4; border-bottom: 1px solid #999; }
td.number, th.number { text-align: right; white-space: nowrap; }
td.facts { white-space: nowrap; font-weight: 600; }
.red { color: #b00020; font-weight: 600; }
.grey { color: #767676; }
.strong { font-weight: 600; }
table.ratios td { white-space: normal; min-width: 6.5rem; }
table.ratios td:first-child { white-space: nowrap; }
code, pre { font: .875rem/1.45 ui-monospace, "DejaVu Sans Mono", monospace; background: #f4f4f4; }
code { padding: .1rem .3rem; overflow-wrap: anywhere; }
pre { padding: .7rem; overflow-x: auto; }
details { margin: .5rem 0 1rem; }
summary { cursor: pointer; color: #00558c; }
@media print {
  body { max-width: none; padding: 0; font-size: 11pt; }
  h2, h3, summary { break-after: avoid; }
  figure, tr { break-inside: avoid; }
  .wide, pre { overflow: visible; }
  pre { white-space: pre-wrap; }
  details::details-content { content-visibility: visible; display: block; }
  section.whole { break-before: page; }
}
"""
# Whatever a text or a picture may bring along: the browser fetches nothing and runs nothing.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


@dataclass(frozen=True, kw_only=True)
class Section:
    """A headed part of a page; `body` is HTML of this module's making. `level`: 2 stands below the page's title."""

    title: str
    body: str
    anchor: str = ""
    level: int = 2

    def html(self) -> str:
        """As it stands in the page."""
        anchor = f' id="{text(self.anchor)}"' if self.anchor else ""
        heading = f"<h{self.level}>{text(self.title)}</h{self.level}>"
        return f"<section{anchor}>\n{heading}\n{self.body}\n</section>\n"


def text(value: object) -> str:
    """Any text, made harmless; characters that a page may not hold are shown as their number."""
    shown = "".join(one if one.isprintable() or one in "\n\t\xa0" else f"\\x{ord(one):02x}" for one in str(value))
    return html.escape(shown)


def page(title: str, sections: Iterable[Section], *, lead: str = "") -> str:
    """A whole page; `lead` is HTML that stands between its title and the sections."""
    body = "".join(section.html() for section in sections)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{text(title)}</h1>\n{lead}\n{body}</body>\n</html>\n"
    )


def paragraph(said: object, *, kind: str = "") -> str:
    """A paragraph of plain text; `kind`: lead, note, warning or red."""
    return f'<p class="{kind}">{text(said)}</p>\n' if kind else f"<p>{text(said)}</p>\n"


def items(said: Sequence[object], *, kind: str = "") -> str:
    """A list of plain texts; nothing without any."""
    if not said:
        return ""
    lines = "".join(f"<li>{text(one)}</li>\n" for one in said)
    return f'<ul class="{kind}">\n{lines}</ul>\n' if kind else f"<ul>\n{lines}</ul>\n"


def details(summary: str, body: str) -> str:
    """Something long, folded."""
    return f"<details>\n<summary>{text(summary)}</summary>\n{body}\n</details>\n"


def listing(said: str) -> str:
    """Lines as they are: a plan, a command."""
    return f"<pre>{text(said)}</pre>\n"


def picture(svg: str, caption: str, *, name: str) -> str:
    """A plot within the page. `name` is in front of its ids: the same ones in two pictures would be one picture's."""
    return f"<figure>\n{_named(svg, name)}\n<figcaption>{text(caption)}</figcaption>\n</figure>\n"


def _named(svg: str, name: str) -> str:
    prefix = re.sub(r"[^A-Za-z0-9_-]", "-", name)
    svg = re.sub(r'\bid="', f'id="{prefix}-', svg)
    svg = re.sub(r'href="#', f'href="#{prefix}-', svg)
    return svg.replace("url(#", f"url(#{prefix}-")
