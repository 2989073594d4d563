# SPDX-License-Identifier: GPL-2.0-only
"""Settings: legal and illegal values, and what contradicts."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towline.errors import SettingsError
from towline.settings import (
    BOTH,
    PARAMETERS,
    Settings,
    largest_block_bytes,
    option_of,
    parameters_of,
)

NUMBERS = {name: p for name, p in PARAMETERS.items() if p.low is not None and not p.directions}
PAIRS = {name: p for name, p in PARAMETERS.items() if p.directions}


def make(name: str, value: Any) -> Settings:
    said: dict[str, Any] = {name: value}
    said |= {"delivery": "ring"} if name in ("consumer_delay_us", "short_records") else {}
    return Settings(**said)


@pytest.mark.parametrize("name", NUMBERS)
def test_settings__limits_are_legal_and_what_is_beyond_is_not(name: str) -> None:
    parameter = NUMBERS[name]
    legal = [value for value in (parameter.low, parameter.high) if value is not None]
    for value in legal:
        said: dict[str, Any] = {name: value}
        if name == "payload_size":
            said["window"] = 65536
        if name in ("consumer_delay_us", "short_records"):
            said["delivery"] = "ring"
        assert getattr(Settings(**said), name) == value
    illegal: list[Any] = [legal[0] - 1, "1", 1.0, True]
    illegal += [parameter.high + 1] if parameter.high is not None else []
    for value in illegal:
        with pytest.raises(SettingsError, match=f"--{option_of(name)} is .* it must be"):
            make(name, value)


@pytest.mark.parametrize("name", PAIRS)
def test_settings__a_pair_is_two_legal_values(name: str) -> None:
    low, high = PAIRS[name].low, PAIRS[name].high
    assert low is not None
    assert high is not None
    assert getattr(make(name, (low, high)), name) == (low, high)
    for value in ((low, high + 1), (low - 1, high), (low,), low, (low, high, low), ("1", low), None):
        with pytest.raises(SettingsError, match=f"--{option_of(name)} is .* it must be"):
            make(name, value)


def test_settings__what_contradicts_is_refused() -> None:
    with pytest.raises(SettingsError, match="--delivery needs XDP at the receiver"):
        Settings(datapath_receiver="socket", delivery="ring")
    with pytest.raises(SettingsError, match="--transmit live needs XDP"):
        Settings(datapath_sender="socket", transmit="live")
    with pytest.raises(SettingsError, match="--short-records needs --delivery ring"):
        Settings(short_records=3)


NEEDS_XDP: dict[str, Any] = {
    "delivery": "direct",
    "policy": "every",
    "swap": ("1s=every",),
    "spin_ns": 100,
    "watch_gaps": True,
    "xdp_mode": "generic",
    "clang_flags_sender": ("-O1",),
    "clang_flags_receiver": ("-O1",),
}


def test_settings__what_sockets_would_not_heed_is_refused() -> None:
    assert {name for name, one in PARAMETERS.items() if one.xdp_at} == set(NEEDS_XDP)
    for name, value in NEEDS_XDP.items():
        sides = PARAMETERS[name].xdp_at
        with pytest.raises(SettingsError, match=f"--{option_of(name)} needs XDP"):
            Settings(datapath_sender="socket", datapath_receiver="socket", **{name: value})
        for side in sides:  # one that heeds it is enough
            said: dict[str, Any] = {f"datapath_{other}": "socket" for other in BOTH - {side}} | {name: value}
            made = Settings(**said)
            assert made.insists_on_xdp(side)
        assert not any(Settings().insists_on_xdp(side) for side in sides)


def test_record_fields__a_pair_is_two_fields() -> None:
    fields = Settings(corrupt=(0.0, 0.5)).record_fields()
    assert (fields["corruption_forward"], fields["corruption_backward"]) == (0.0, 0.5)


@pytest.mark.parametrize("name", [name for name, p in PARAMETERS.items() if p.power_of_two])
def test_settings__power_of_two(name: str) -> None:
    with pytest.raises(SettingsError, match="a power of two from"):
        make(name, (PARAMETERS[name].low or 0) * 3)


@pytest.mark.parametrize("name", [name for name, p in PARAMETERS.items() if p.choices])
def test_settings__choices_are_named(name: str) -> None:
    for choice in PARAMETERS[name].choices:
        make(name, choice)
    with pytest.raises(SettingsError, match=" or ".join(PARAMETERS[name].choices)):
        make(name, "elsewhere")


def test_settings__none_only_where_it_means_something() -> None:
    Settings(payload_size=None, pipelining=None)
    with pytest.raises(SettingsError):
        Settings(window=0)


def test_settings__a_window_too_small_for_a_byte_is_refused() -> None:
    with pytest.raises(SettingsError, match="a window of 64 packets of 1 byte"):
        Settings(window=64, payload_size=1)
    assert Settings(window=64, payload_size=2).payload_size == 2


def test_settings__is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().window = 64  # type: ignore[misc]


def test_replace__checks_again() -> None:
    assert Settings().replace(window=64).window == 64
    with pytest.raises(SettingsError):
        Settings().replace(window=65)


@given(st.sampled_from([64 << n for n in range(11)]), st.integers(1, 3370))
def test_largest_block_bytes__fits_a_quarter_of_the_window(window: int, payload_size: int) -> None:
    try:
        block_bytes = largest_block_bytes(window, payload_size)
    except SettingsError:
        assert window // 4 * payload_size < 25
    else:
        assert block_bytes >= 1
        assert -(-(block_bytes + 24) // payload_size) <= window // 4


def test_parameters_of__the_laboratory_has_all() -> None:
    assert set(parameters_of("lab")) == set(PARAMETERS)
    assert "sink" not in parameters_of("sender")
    assert "payload_size" not in parameters_of("receiver")


def test_parameters__have_unique_options() -> None:
    options = [option_of(name) for name in PARAMETERS] + [p.short for p in PARAMETERS.values() if p.short]
    assert len(options) == len(set(options))
