# SPDX-License-Identifier: GPL-2.0-only
"""Quantities: what people write is read, what is written is read back, and the rest is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towline.errors import SettingsError
from towline.quantities import (
    format_directions,
    format_duration,
    format_rate,
    format_share,
    format_size,
    parse_directions,
    parse_duration,
    parse_number,
    parse_rate,
    parse_share,
    parse_size,
)


@given(st.integers(0, 1 << 60))
def test_parse_size__reads_what_format_size_writes(size_bytes: int) -> None:
    assert parse_size(format_size(size_bytes)) == size_bytes


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("0", 0),
        ("1500", 1500),
        ("64K", 65536),
        ("64k", 65536),
        ("256M", 256 << 20),
        ("256MiB", 256 << 20),
        ("1.5G", 3 << 29),
        (" 2 T ", 2 << 40),
        ("1b", 1),
    ],
)
def test_parse_size__as_people_write(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize("text", ["", "M", "-1", "1X", "1.5", "1e6", "٣", "0x10", "1 000"])
def test_parse_size__refuses_the_rest(text: str) -> None:
    with pytest.raises(SettingsError):
        parse_size(text)


@given(st.integers(0, 1 << 50))
def test_parse__reads_what_format_writes(value: int) -> None:
    assert parse_rate(format_rate(value)) == value
    assert parse_duration(format_duration(value)) == value


@given(st.floats(0, 1, allow_subnormal=False))
def test_parse_share__reads_what_format_share_writes(share: float) -> None:
    assert parse_share(format_share(share)) == pytest.approx(share, rel=1e-15)


@pytest.mark.parametrize(
    ("text", "bits"),
    [("500mbit", 500_000_000), ("1.5Gbit", 1_500_000_000), ("64k", 64_000), ("8000", 8000), ("10Gbit/s", 10**10)],
)
def test_parse_rate__as_people_write(text: str, bits: int) -> None:
    assert parse_rate(text) == bits


@pytest.mark.parametrize(
    ("text", "us"), [("10ms", 10_000), ("0.5s", 500_000), ("100us", 100), ("0", 0), ("0.1ms", 100)]
)
def test_parse_duration__as_people_write(text: str, us: int) -> None:
    assert parse_duration(text) == us


@pytest.mark.parametrize("text", ["10", "10m", "ms", "-1ms", "0.5us"])
def test_parse_duration__refuses_the_rest(text: str) -> None:
    with pytest.raises(SettingsError):
        parse_duration(text)


@pytest.mark.parametrize(("text", "share"), [("1%", 0.01), ("0.01", 0.01), ("0", 0.0), ("100%", 1.0), ("1", 1.0)])
def test_parse_share__as_people_write(text: str, share: float) -> None:
    assert parse_share(text) == share


@pytest.mark.parametrize("text", ["5", "101%", "-1%", "one"])
def test_parse_share__refuses_the_rest(text: str) -> None:
    with pytest.raises(SettingsError):
        parse_share(text)


def test_parse_number__decimal_or_hexadecimal() -> None:
    assert (parse_number("1501"), parse_number("0x1501")) == (1501, 0x1501)
    with pytest.raises(SettingsError, match="'x' is not a whole number"):
        parse_number("x")


@pytest.mark.parametrize(
    ("text", "pair"),
    [("1%", (0.01, 0.01)), ("forward=1%,backward=5%", (0.01, 0.05)), ("backward=5%", (0.5, 0.05))],
)
def test_parse_directions__one_value_or_one_each(text: str, pair: tuple[float, float]) -> None:
    assert parse_directions(text, parse_share, (0.5, 0.5)) == pair


@pytest.mark.parametrize("text", ["up=1%", "forward=1%,2%", "forward=", "forward=1%;backward=2%"])
def test_parse_directions__refuses_the_rest(text: str) -> None:
    with pytest.raises(SettingsError):
        parse_directions(text, parse_share, (0.0, 0.0))


def test_format_directions__is_read_back() -> None:
    for pair in ((0.01, 0.01), (0.01, 0.05)):
        assert parse_directions(format_directions(pair, format_share), parse_share, (0.0, 0.0)) == pair
    assert format_directions((None, 8000), format_rate) == "backward=8kbit"
