# SPDX-License-Identifier: GPL-2.0-only
"""Random transfers: the same for the same seed, legal, of all kinds, and none that crawls. No kernel is needed."""

from __future__ import annotations

import shlex
from collections import Counter
from functools import cache
from typing import Annotated

import pytest
from cyclopts import App, Parameter

from towline.cli.options import Options, options_class
from towline.framing import LEVELS
from towline.lab.run import impairments_of
from towline.lab.soak import plan as plans
from towline.lab.soak.plan import Plan, plan
from towline.settings import LARGEST_MTU, Settings

SEEDS = 5_000


@cache
def drawn() -> list[Plan]:
    """Making them checks each setting."""
    return [plan(seed) for seed in range(SEEDS)]


def test_plan__is_the_same_for_the_same_seed() -> None:
    assert [plan(seed) for seed in range(200)] == drawn()[:200]
    assert len({(one.settings, one.size_bytes) for one in drawn()}) > 0.99 * SEEDS


def test_plan__is_legal() -> None:
    for one in drawn():
        settings = one.settings
        impairments_of(one.run())  # raises for jitter without delay and the like
        level = LEVELS[str(settings.level)]
        assert 0 <= one.size_bytes <= plans.SIZE_MOST
        assert one.mtu <= LARGEST_MTU
        assert (settings.payload_size or 1) <= level.largest_payload_bytes(one.mtu)
        assert level.is_shared or not one.serves_all


def test_plan__every_kind_is_drawn() -> None:
    settings = [one.settings for one in drawn()]
    kinds = Counter((one.level, one.datapath_sender, one.datapath_receiver, one.delivery) for one in settings)
    assert len(kinds) == len(LEVELS) * 6  # to ebpf by either delivery, to socket; from either
    assert min(kinds.values()) > SEEDS / 200
    for name in ("loss", "corrupt", "duplicate", "reorder", "delay", "jitter", "rate"):
        for way in (0, 1):
            assert SEEDS / 20 < sum(bool(getattr(one, name)[way]) for one in settings) < SEEDS * 0.8
    assert sum(impairments_of(one.run()) is None for one in drawn()) > SEEDS / 20
    assert {one.redundancy for one in settings} == {1, 2, 3}
    assert {one.lanes for one in settings} == {1, 2}
    assert {0, None} <= {one.pipelining for one in settings}
    assert 1501 in {one.ethertype for one in settings}
    assert max(one.first_index for one in settings) == (1 << 32) - 1
    assert sum(one.size_bytes == 0 for one in drawn()) > 10
    assert sum(one.size_bytes > 1 << 20 for one in drawn()) > SEEDS / 50


@pytest.mark.parametrize(
    "crawling",
    [
        {"payload_size": 1},
        {"pipelining": 0, "ack_every": 1, "delay": (5000, 5000)},
        {"block_size": 1},
        {"rate": (50_000_000, None)},
        {"pace": 50_000_000, "redundancy": 3},
        {"delivery": "ring", "ring_size": 4096},
    ],
)
def test_most_bytes__what_crawls_is_cut(crawling: dict[str, object]) -> None:
    most = plans._most_bytes(Settings(level="ethernet", **crawling))  # type: ignore[arg-type]
    assert 0 < most < plans.SIZE_MOST < plans._most_bytes(Settings(level="ethernet"))


def test_command__says_the_same_settings() -> None:
    for one in drawn()[:100]:
        words = shlex.split(one.command())
        assert words[:5] == ["towline", "lab", "transfer", f"--size={one.size_bytes}", f"--seed={one.seed}"]
        said = options_of(words[5:])
        assert said == one.settings


def options_of(words: list[str]) -> Settings:
    """What the command line makes of these words."""
    kind = options_class("lab")
    app = App()

    def command(*, options: Options) -> Settings:
        return options.settings()

    command.__annotations__["options"] = Annotated[kind, Parameter(name="*")]
    command.__kwdefaults__ = {"options": kind()}
    app.default(command)
    settings: Settings = app(words, exit_on_error=False, print_error=False, result_action="return_value")
    return settings
