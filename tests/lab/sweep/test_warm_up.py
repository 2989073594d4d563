# SPDX-License-Identifier: GPL-2.0-only
"""The size of a run is found for the slowest and the fastest cell, without long runs on the way."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towline.lab.plans.plan import Cell
from towline.lab.sweep import warm_up
from towline.settings import Settings

DURATION_US = 1_000_000


def cell(size_bytes: int | None = None, **settings: Any) -> Cell:
    return Cell(number=0, labels={}, values={}, settings=Settings(sink="memory", **settings), size_bytes=size_bytes)


class Path:
    """Runs take a latency, and their bytes a rate."""

    def __init__(self, bps: float, latency_s: float = 0.0) -> None:
        self.bps, self.latency_s = bps, latency_s
        self.sizes: list[int] = []

    def seconds(self, size_bytes: int) -> float:
        return self.latency_s + size_bytes * 8 / self.bps

    def measure(self, size_bytes: int) -> dict[str, Any]:
        self.sizes.append(size_bytes)
        return {"seconds": self.seconds(size_bytes)}

    @property
    def spent_s(self) -> float:
        return sum(map(self.seconds, self.sizes))


@given(bps=st.floats(2e5, 4e10), latency_s=st.floats(0, 0.02))
def test_warm_up__finds_a_run_of_the_duration(bps: float, latency_s: float) -> None:
    path = Path(bps, latency_s)
    rate: dict[str, Any] = {"rate": (int(bps), None)} if bps < 1e8 else {}
    size_bytes, last = warm_up.warm_up(cell(**rate), DURATION_US, path.measure)
    assert 0.95 < path.seconds(size_bytes) < 1.4
    assert last["seconds"] == path.seconds(path.sizes[-1])
    assert len(path.sizes) <= 5
    assert path.spent_s < 3.0


def test_warm_up__a_long_path_that_waits_for_every_packet_begins_small() -> None:
    stop_and_wait = cell(delay=(20_000, 20_000), pipelining=0, ack_every=1)
    path = Path(1400 * 8 / 0.04)
    size_bytes, _ = warm_up.warm_up(stop_and_wait, DURATION_US, path.measure)
    assert path.sizes[0] < 16_384
    assert 0.95 < path.seconds(size_bytes) < 1.4


def test_warm_up__keeps_a_size_that_is_given() -> None:
    path = Path(1e9)
    assert warm_up.warm_up(cell(5), None, path.measure)[0] == 5
    assert warm_up.warm_up(cell(1 << 30), None, path.measure)[0] == 1 << 30
    assert path.sizes == [5, warm_up.FIXED_MOST_BYTES]


def test_warm_up__ends_with_a_run_that_fails() -> None:
    sizes: list[int] = []

    def measure(size_bytes: int) -> dict[str, Any]:
        sizes.append(size_bytes)
        return {"seconds": None}

    warm_up.warm_up(cell(), DURATION_US, measure)
    assert len(sizes) == 1


def test_warm_up__does_not_fill_the_disk() -> None:
    to_file = Cell(number=0, labels={}, values={}, settings=Settings(), size_bytes=None)
    path = Path(1e12)
    assert warm_up.warm_up(to_file, 60 * DURATION_US, path.measure)[0] == warm_up.MOST_BYTES["file"]


@pytest.mark.parametrize(
    ("size_bytes", "expected"), [(0.0, 1000), (1_499.0, 1000), (1_501.0, 2000), (65_536 * 1.6, 131_072), (1e6, 983_040)]
)
def test_rounded__whole_packets_or_multiples_of_64_kib(size_bytes: float, expected: int) -> None:
    assert warm_up.rounded(size_bytes, Settings(payload_size=1000)) == expected
