# SPDX-License-Identifier: GPL-2.0-only
"""Where values stand on an axis."""

from __future__ import annotations

import pytest

from towline.lab.plans import plan
from towline.lab.plans.plan import Plan
from towline.lab.report import plots
from towline.lab.report.scale import Scale, scale


def plan_of(axis: str, values: str) -> Plan:
    length = "" if axis == "size" else 'duration = "1s"'
    fixed = '[settings]\ndelivery = "ring"' if axis == "consumer_delay_us" else ""
    return plan.parse(f"{length}\n{fixed}\n[axes]\n{axis} = {values}\n", "plans/x.toml")


def scale_of(axis: str, values: str) -> Scale:
    found = plan_of(axis, values)
    return scale(found.axes[axis], found.cells)


@pytest.mark.parametrize(
    ("axis", "values", "manner", "joined"),
    [
        ("ack_every", "[1, 2, 4, 8]", "logarithmic", True),
        ("payload_size", "[100, 400, 3370]", "logarithmic", True),
        ("lanes", "[1, 2, 3, 4]", "", True),
        ("loss", '["0%", "0.1%", "1%", "10%"]', "values evenly spaced", True),
        ("duplicate", '["0%", "10%", "20%"]', "", True),
        ("level", '["raw", "udp6"]', "", False),
        ("pace", '["none", "100mbit"]', "", False),
        ("ack_every", "[32]", "", False),
    ],
)
def test_scale__suits_the_values(axis: str, values: str, manner: str, joined: bool) -> None:
    found = scale_of(axis, values)
    assert (found.manner, found.joined) == (manner, joined)


def test_scale__geometric_series_is_evenly_spaced() -> None:
    assert list(scale_of("ack_every", "[1, 4, 16]").positions.values()) == [0, 2, 4]


def test_scale__values_in_order_whatever_the_plans() -> None:
    assert list(scale_of("lanes", "[4, 1, 2]").positions) == ["1", "2", "4"]


@pytest.mark.parametrize(
    ("axis", "values", "title"),
    [
        ("ack_every", "[1, 2, 4]", "ack every (packets), logarithmic"),
        ("loss", '["0%", "1%"]', "loss"),
        ("delay", '["0ms", "5ms"]', "delay"),
        ("size", '["64K", "1M", "16M"]', "file size (bytes), logarithmic"),
        ("consumer_delay_us", "[0, 300]", "consumer delay (us)"),
    ],
)
def test_dress__title_has_the_unit_once(axis: str, values: str, title: str) -> None:
    found = plan_of(axis, values)
    axes = plots.figure().subplots()
    scale(found.axes[axis], found.cells).dress(axes)
    assert axes.get_xlabel() == title
    assert [one.get_text() for one in axes.get_xticklabels()] == [cell.labels[axis] for cell in found.cells]
