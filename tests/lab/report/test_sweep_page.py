# SPDX-License-Identifier: GPL-2.0-only
"""The page of one sweep."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

from tests.lab.report import pages
from tests.lab.report.made_up import ACK, made_up
from towline.lab import report
from towline.lab.sweep.results import read

NASTY = '<script>alert(1)</script> $x --> & "'


def test_write__whole_page(tmp_path: Path) -> None:
    results = made_up(tmp_path)
    where = report.write(results)
    assert where == tmp_path / "report.html"
    html = where.read_text()
    page = pages.sound(html)
    assert page.tags["svg"] == len(results.plan.plots) == 3
    assert page.text.lstrip().startswith("Does acknowledging less often help, and until when?")
    for said in (
        "The short answer",
        "ack every 16 over ack every 1 at loss 1%",
        "Conditions",
        "What does not count",
        "48 attempts for 48 runs: 48 count",
        "records.jsonl",
        "series.parquet",
        "towline lab sweep plans/ack.toml",
    ):
        assert said in page.text


def test_write__plots_beside_it_with_titles_and_legend(tmp_path: Path) -> None:
    report.write(made_up(tmp_path))
    expected = {
        "goodput": ("goodput (Gbit/s)", "ack every (packets), logarithmic", "loss 0%", "loss 1%"),
        "spread": ("round trip, median (us)", "runs at or below (%)", "ack every 16, loss 1%"),
        "rate": ("goodput (Gbit/s)", "time since the sender's first sample (s)", "ack every 16"),
    }
    for name, texts in expected.items():
        svg = (tmp_path / f"{name}.svg").read_text()
        ET.fromstring(svg)
        for said in texts:
            assert f"<!-- {said} -->" in svg, name


def test_write__same_results_same_page(tmp_path: Path) -> None:
    results = made_up(tmp_path, ACK.partition("[plot.spread]")[0])
    assert report.write(results, tmp_path / "a").read_text() == report.write(results, tmp_path / "b").read_text()


def test_write__names_of_a_plan_stay_text(tmp_path: Path) -> None:
    text = f"# plans/x.toml: is {NASTY} harmless?\nsize = \"16M\"\n[axes]\narm = ['{NASTY}', 'b']\nlanes = [1, 2]\n"
    results = made_up(tmp_path, text, special=lambda cell, block: {"void": block == 1, "void_reason": NASTY}, name="x")
    html = report.write(results).read_text()
    page = pages.sound(html)
    assert f"Is {NASTY} harmless?" in page.text
    assert "alert(1)</script>" not in html


def test_write__a_sweep_that_has_just_begun(tmp_path: Path) -> None:
    results = made_up(tmp_path)
    for name in ("records.jsonl", "series.jsonl"):
        (tmp_path / name).unlink()
    page = pages.sound(report.write(read(results.folder)).read_text())
    assert "The sweep is not finished: 0 of 48 runs have been made." in page.text
    assert "No run that counts has been made yet." in page.text
    assert page.tags["svg"] == 3


def test_write__quick_is_said(tmp_path: Path) -> None:
    results = made_up(tmp_path, ACK, quick=True, repetitions=2)
    assert "A quick version" in pages.sound(report.write(results).read_text()).text


def test_figures__for_programs(tmp_path: Path) -> None:
    found = report.figures(made_up(tmp_path))
    assert (found["plan"], found["attempts"], found["counted"], found["void"]) == ("ack", 48, 48, 0)
    last = found["cells"][-1]
    assert last["axes"] == {"ack_every": "16", "loss": "1%"}
    goodput = last["measures"]["goodput_gbps"]
    assert goodput["low"] <= goodput["median"] <= goodput["high"]
    assert goodput["compared"]["verdict"] == "faster"
