# SPDX-License-Identifier: GPL-2.0-only
"""Options: the settings of a side become its options, and come back as settings."""

from __future__ import annotations

from typing import Annotated

import pytest
from cyclopts import App, CycloptsError, Parameter

from towline.cli.options import Options, options_class
from towline.errors import SettingsError
from towline.lab.children import setting_arguments
from towline.parameter import Side
from towline.settings import PARAMETERS, Settings, parameters_of

DIFFERENT = Settings(
    level="udp6",
    ethertype=1501,
    next_header=253,
    port=9999,
    transmit="packet",
    xdp_mode="generic",
    redundancy=3,
    pace=500_000_000,
    delay=(10_000, 20_000),
    jitter=(1000, 1500),
    rate=(None, 10_000_000),
    queue=(1 << 20, None),
    loss=(0.01, 0.3),
    loss_burst=(8, 1),
    corrupt=(0.02, 0.0),
    duplicate=(0.05, 0.0),
    reorder=(0.0, 0.125),
    clang_flags_emulator=("-Os",),
    payload_size=1400,
    ack_every=7,
    pipelining=0,
    lanes=2,
    checksum=True,
    window=4096,
    block_size=65536,
    delivery="ring",
    ring_size=65536,
    sink="memory",
    timeout_s=3,
    stall_timeout_s=30,
    mtu=3000,
    consumer_delay_us=2000,
    short_records=1000,
    spin_ns=300,
    policy="timed",
    swap=("500ms=every", "1s=fixed"),
    watch_gaps=True,
    first_index=0xFFFFFFFF,
    clang_flags_sender=("-O3", "-DNAME=a b"),
    clang_flags_receiver=("-mcpu=v2",),
)

SOCKETS = Settings(datapath_sender="socket", datapath_receiver="socket")
MIXED = Settings(datapath_sender="socket")


def parse(side: Side, *arguments: str) -> Settings:
    options_type = options_class(side)
    app = App()

    def command(*, options: Options) -> Settings:
        return options.settings()

    # As the commands have it, with a class that only this call knows.
    command.__annotations__["options"] = Annotated[options_type, Parameter(name="*")]
    command.__kwdefaults__ = {"options": options_type()}
    app.default(command)
    settings: Settings = app(list(arguments), exit_on_error=False, print_error=False, result_action="return_value")
    return settings


@pytest.mark.parametrize("side", ["sender", "receiver", "lab"])
def test_options__defaults_are_those_of_the_settings(side: Side) -> None:
    assert parse(side) == Settings()


@pytest.mark.parametrize("side", ["sender", "receiver", "lab"])
def test_options__every_setting_survives_a_command_line(side: Side) -> None:
    for settings in (Settings(), DIFFERENT, SOCKETS, MIXED):
        read = parse(side, *setting_arguments(settings, side))
        assert {n: getattr(read, n) for n in parameters_of(side)} == {
            n: getattr(settings, n) for n in parameters_of(side)
        }


def test_options__sample_differs_everywhere() -> None:
    same = {name for name in PARAMETERS if getattr(DIFFERENT, name) == getattr(Settings(), name)}
    assert {name for name in same if getattr(SOCKETS, name) == getattr(Settings(), name)} == set()


def test_options__short_names_sizes_and_none() -> None:
    settings = parse("lab", "--pts", "1K", "--acc", "8", "--ring-size", "64K", "--pipelining", "none")
    assert (settings.payload_size, settings.ack_every) == (1024, 8)
    assert (settings.ring_size, settings.pipelining) == (65536, None)


def test_options__of_the_other_side_are_unknown() -> None:
    with pytest.raises(CycloptsError):
        parse("sender", "--sink", "memory")
    with pytest.raises(CycloptsError):
        parse("receiver", "--pts", "1000")


def test_options__illegal_values() -> None:
    with pytest.raises(SettingsError, match="--window is 63: it must be a power of two from 64 to 65536"):
        parse("lab", "--window", "63")
    with pytest.raises(SettingsError, match="'x' is not a whole number"):
        parse("lab", "--acc", "x")
    with pytest.raises(SettingsError, match="it must be direct or ring"):
        parse("lab", "--delivery", "rung")
