# SPDX-License-Identifier: GPL-2.0-only
"""Pages: what is put into them stays text, and two pictures do not share their ids."""

from __future__ import annotations

from tests.lab.report import pages
from towline.lab.report import page
from towline.lab.report.page import Section
from towline.lab.report.tables import Styled, facts, table

NASTY = '<script>alert("1")</script> & \x1b[31m'


def test_page__texts_are_escaped() -> None:
    body = page.paragraph(NASTY) + page.items([NASTY]) + page.listing(NASTY) + page.details(NASTY, "")
    body += table([NASTY, "b"], [[NASTY, Styled(NASTY, "red")]]) + facts({NASTY: NASTY, "none": None})
    found = pages.sound(page.page(NASTY, [Section(title=NASTY, body=body, anchor="x")]))
    assert found.text.count('<script>alert("1")</script> & \\x1b[31m') == 12
    assert "none" not in found.text


def test_page__forbids_the_browser_to_fetch() -> None:
    assert "default-src 'none'" in page.page("title", [])


def test_picture__ids_are_its_own() -> None:
    svg = '<svg><defs><path id="p"/></defs><use xlink:href="#p"/><g clip-path="url(#p)"/></svg>'
    found = page.picture(svg, "one", name="a b") + page.picture(svg, "other", name="c")
    assert 'id="a-b-p"' in found
    assert 'href="#a-b-p"' in found
    assert "url(#c-p)" in found
    assert pages.sound(page.page("", [Section(title="", body=found)])).ids == ["a-b-p", "c-p"]


def test_table__numbers_to_the_right() -> None:
    assert '<td>a</td><td class="number">1</td>' in table(["x", "y"], [["a", 1]])
    assert '<td class="number red">1</td>' in table(["x", "y"], [["a", Styled(1, "red")]])
