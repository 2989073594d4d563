# SPDX-License-Identifier: GPL-2.0-only
"""Axes: their names in every spelling, and what a value as people write it does to the settings."""

from __future__ import annotations

from typing import Any

import pytest

from towline.errors import SettingsError
from towline.lab.plans import axes
from towline.lab.plans.axes import Changes, Written
from towline.settings import PARAMETERS

VALUES: list[tuple[str, Written, str, float | str, Changes]] = [
    ("ack_every", 8, "8", 8, {("ack_every", None): 8}),
    ("payload_size", "1K", "1K", 1024, {("payload_size", None): 1024}),
    ("payload_size", 1024, "1K", 1024, {("payload_size", None): 1024}),
    ("pipelining", "none", "none", "none", {("pipelining", None): None}),
    ("checksum", True, "on", "on", {("checksum", None): True}),
    ("loss", "0.1%", "0.1%", 0.001, {("loss", None): (0.001, 0.001)}),
    ("loss", 0.01, "1%", 0.01, {("loss", None): (0.01, 0.01)}),
    (
        "loss",
        "forward=1%,backward=5%",
        "forward=1%,backward=5%",
        "forward=1%,backward=5%",
        {("loss", None): (0.01, 0.05)},
    ),
    ("loss_backward", "5%", "5%", 0.05, {("loss", "backward"): 0.05}),
    ("delay", "0.5ms", "500us", 500, {("delay", None): (500, 500)}),
    ("rate_forward", "none", "none", "none", {("rate", "forward"): None}),
    ("rate", "200mbit", "200mbit", 200_000_000, {("rate", None): (200_000_000, 200_000_000)}),
    ("datapath", "ebpf", "ebpf", "ebpf", {("datapath_sender", None): "ebpf", ("datapath_receiver", None): "ebpf"}),
    (
        "datapath",
        "socket:ebpf",
        "socket:ebpf",
        "socket:ebpf",
        {("datapath_sender", None): "socket", ("datapath_receiver", None): "ebpf"},
    ),
    ("clang_flags_sender", "-O3  -g", "-O3 -g", "-O3 -g", {("clang_flags_sender", None): ("-O3", "-g")}),
    ("size", "64K", "64K", 65536, {}),
    ("arm", "one", "one", "one", {}),
]


@pytest.mark.parametrize(("name", "written", "label", "value", "changes"), VALUES)
def test_value_of__as_people_write_it(
    name: str, written: Written, label: str, value: float | str, changes: Changes
) -> None:
    found = axes.value_of(name, written)
    assert (found.label, found.value, found.changes) == (label, value, changes)
    assert found.size_bytes == (value if name == "size" else None)


@pytest.mark.parametrize(
    ("name", "written", "words"),
    [
        ("ack_every", 0, "it must be from 1 to 16384 packets"),
        ("ack_every", 1.5, "not a whole number"),
        ("level", "ether", "it must be raw or dst or"),
        ("loss", "110%", "more than all"),
        ("delay", 10, "has no unit"),
        ("checksum", "maybe", "neither on nor off"),
        ("datapath", "both", "ebpf or socket"),
        ("loss_forward", "backward=1%", "has one value"),
        ("clang_flags_sender", '"-O2', "No closing quotation"),
        ("size", 0, "from 1 byte to 1T"),
        ("size", "2T", "from 1 byte to 1T"),
        ("arm", [1], "a value is a number"),
    ],
)
def test_value_of__refuses_what_is_not_legal(name: str, written: Any, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        axes.value_of(name, written)


def test_canonical__every_spelling() -> None:
    spellings = {"pts": "payload_size", "acc": "ack_every", "consumer_delay": "consumer_delay_us", "loss": "loss"}
    assert {one: axes.canonical(one) for one in spellings} == spellings
    assert set(PARAMETERS) | {"size", "arm", "datapath", "jitter_forward", "reorder_backward"} <= set(axes.AXES)


def test_canonical__misspelt_names_a_near_one_and_all() -> None:
    with pytest.raises(SettingsError, match=r"did you mean ack_every\?.* arm, .*xdp_mode") as caught:
        axes.canonical("ack_evry")
    assert "loss" in str(caught.value)
    with pytest.raises(SettingsError, match="no 'loss' here"):
        axes.canonical("loss", among=("window",))


def test_apply__directions_change_their_half_only() -> None:
    parts = [axes.value_of(name, value).changes for name, value in (("loss", "1%"), ("loss_backward", "5%"))]
    assert axes.apply(parts) == {"loss": (0.01, 0.05)}
    assert axes.apply(parts[1:]) == {"loss": (0.0, 0.05)}


def test_words_and_units__say_what_stands_at_an_axis() -> None:
    assert axes.words("consumer_delay_us") == "consumer delay"
    assert axes.words("clang_flags_sender") == "clang's flags, sender"
    assert axes.words("loss_forward") == "loss, forward"
    named = {"ack_every": "packets", "delay_forward": "us", "consumer_delay_us": "us", "size": "bytes", "arm": ""}
    assert {name: axes.unit_of(name) for name in named} == named
