# SPDX-License-Identifier: GPL-2.0-only
"""The page of a comparison."""

from __future__ import annotations

import re
from pathlib import Path

from tests.lab.compare.comparisons import FakeTools, carried_out, made_up
from towline.lab.report import comparison


def test_write__makes_a_page_with_everything_in_it(tmp_path: Path) -> None:
    fake = FakeTools(
        lambda bout, number: made_up(
            bout,
            capped=bout.contestant.name == "tcp-cubic",
            void=number == 3,
            void_reason="the host <took> it",
        )
    )
    found = carried_out(tmp_path, fake)
    path = comparison.write(found)
    text = path.read_text()
    assert path == tmp_path / "report.html"
    assert "<svg" in text
    assert (tmp_path / "goodput.svg").read_text().startswith("<svg")
    for said in (
        "towline (told the rate)",
        "not there: scp (cubic): scp is not installed",
        "towline lab compare --size=1M",
        "2.00 (2.00 to 2.00)",
        "void, 1 x",
        "the host &lt;took&gt; it",
        "stopped after 20s",
        "98% of the rate",
    ):
        assert said in text
    assert not re.search(r'(src|href)="(?!#)', text)


def test_write__of_a_clean_pair(tmp_path: Path) -> None:
    found = carried_out(tmp_path, FakeTools(), path={}, losses=(0.0,))
    text = comparison.write(found).read_text()
    assert "a clean veth pair" in text
    assert "told the rate" not in text


def test_write__of_nothing_that_counts(tmp_path: Path) -> None:
    found = carried_out(tmp_path, FakeTools(lambda bout, number: made_up(bout, void=True, void_reason="stolen")))
    assert "0 of 36 runs count; 108 attempts" in comparison.write(found).read_text()
