# SPDX-License-Identifier: GPL-2.0-only
"""What a test may ask of a page: that it is well-formed, fetches nothing, and what it says."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from html.parser import HTMLParser

_VOID = ("meta", "br", "link", "img", "hr")
_FETCHING = ("src", "href", "xlink:href", "data", "poster", "action")


@dataclass
class Page:
    """`text`: without the pictures; `outside`: what it would fetch; `wrong`: tags that do not match."""

    tags: Counter[str] = field(default_factory=Counter)
    ids: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    text: str = ""


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.page = Page()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.page.tags[tag] += 1
        if tag not in _VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id" and value:
                self.page.ids.append(value)
            if name in _FETCHING and value:
                (self.page.links if value.startswith("#") else self.page.outside).append(value)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.page.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        if "svg" not in self.open and "style" not in self.open:
            self.page.text += data.replace("\xa0", " ")


def read(html: str) -> Page:
    """A page taken apart."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    reader.page.wrong += reader.open
    return reader.page


def sound(html: str) -> Page:
    """The same of a page that has to be well-formed, self-contained, and without scripts."""
    page = read(html)
    assert page.wrong == []
    assert page.outside == []
    assert page.tags["script"] == 0
    assert [one for one, times in Counter(page.ids).items() if times > 1] == []
    assert {one.removeprefix("#") for one in page.links} <= set(page.ids)
    assert "url(http" not in html
    assert "@import" not in html
    return page
