# SPDX-License-Identifier: GPL-2.0-only
"""Numbers, intervals and values as a report writes them."""

from __future__ import annotations

import pytest

from towline.lab.plans.axes import Axis
from towline.lab.report import words


@pytest.mark.parametrize(
    ("value", "spread", "written"),
    [
        (1.8412, 0.11, "1.84"),
        (1.0023, 0.02, "1.002"),
        (2012.34, 90.0, "2,012"),
        (1234567.0, None, "1,234,567"),
        (0.012345, None, "0.01235"),
        (12.345678, None, "12.35"),
        (0.0, None, "0"),
        (1999.9999999999998, 1e-12, "2,000"),
        (-3.5, 2.0, "-3.5"),
        (None, None, "-"),
        (float("nan"), None, "-"),
    ],
)
def test_number__decimals(value: float | None, spread: float | None, written: str) -> None:
    assert words.number(value, spread) == written


def test_estimate__with_and_without_interval() -> None:
    assert words.estimate(1.8412, 1.79, 1.9) == "1.84 (1.79 to 1.90)"
    assert words.estimate(1.8412, None, None) == "1.841"
    assert words.estimate(5.0, 5.0, 5.0) == "5 (5 to 5)"


@pytest.mark.parametrize(
    ("axis", "label", "written"),
    [
        (Axis(name="loss", label="loss", unit="share", numeric=True), "1%", "loss 1%"),
        (Axis(name="ack_every", label="ack every", unit="packets", numeric=True), "32", "ack every 32"),
        (
            Axis(name="consumer_delay_us", label="consumer delay", unit="us", numeric=True),
            "300",
            "consumer delay 300 us",
        ),
        (Axis(name="payload_size", label="payload size", unit="bytes", numeric=True), "64K", "payload size 64K"),
        (Axis(name="arm", label="arm", unit="", numeric=False), "pace 98 %", "pace 98 %"),
    ],
)
def test_value_of__needs_no_guessing(axis: Axis, label: str, written: str) -> None:
    assert words.value_of(axis, label) == written


@pytest.mark.parametrize(
    ("name", "value", "written"),
    [
        ("delay", 10_000, "10ms"),
        ("delay", 10_213.4, "10,213us"),
        ("rate", 200_000_000, "200mbit"),
        ("rate", 198_123_456.7, "198.1mbit"),
        ("loss", 0.010203, "1.02%"),
        ("loss", 0, "0%"),
        ("loss", None, "-"),
    ],
)
def test_impairment__as_people_write_it(name: str, value: float | None, written: str) -> None:
    assert words.impairment(name, value) == written
