# SPDX-License-Identifier: GPL-2.0-only
"""The emulator's ceiling is found by raising the rate until a frame is lost or late; most paths here only play."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from towline.lab.emulator import ceiling
from towline.lab.emulator.ceiling import FIRST_GBPS, NO_LIMIT_BPS, STEP, TRIES
from towline.lab.emulator.impairments import Impairment, Impairments
from towline.lab.environments import veth

LOSSY = Impairment(delay_us=1000.0, loss=0.1, rate_bps=1e6, queue_bytes=5000, duplicate=0.01)


class Playing:
    """An emulator that is late above one rate, and a sender that comes to its end at another."""

    def __init__(self, *, late_gbps: float, most_gbps: float, disturbed: int = 0, lost: float = 0.0) -> None:
        self.late_gbps, self.most_gbps, self.disturbed, self.lost = late_gbps, most_gbps, disturbed, lost
        self.offered: list[float] = []
        self.asked: list[Impairments] = []

    def set(self, asked: Impairments) -> None:
        self.asked.append(asked)

    def void_reason(self) -> str | None:
        self.disturbed -= 1
        return "late" if self.disturbed >= 0 or self.offered[-1] > self.late_gbps else None

    def blast(self, gbps: float, wait_s: float) -> Any:
        assert wait_s > LOSSY.delay_us / 1e6
        self.offered.append(gbps)
        return ceiling._Blast(gbps=min(gbps, self.most_gbps), sent=1000, arrived=round(1000 * (1 - self.lost)))


def measured(monkeypatch: pytest.MonkeyPatch, playing: Playing) -> float:
    @contextmanager
    def path(**_: Any) -> Iterator[Any]:
        yield SimpleNamespace(emulator=playing)

    @contextmanager
    def blaster(*_: Any) -> Iterator[Playing]:
        yield playing

    monkeypatch.setattr(veth, "veth", path)
    monkeypatch.setattr(ceiling, "_Blaster", blaster)
    return ceiling.measure(Impairments(forward=LOSSY, backward=LOSSY), mtu=1500, frame_bytes=1514)


def test_measure__is_the_last_rate_that_nothing_happened_at(monkeypatch: pytest.MonkeyPatch) -> None:
    playing = Playing(late_gbps=1.1, most_gbps=100)
    assert measured(monkeypatch, playing) == pytest.approx(FIRST_GBPS * STEP**4)  # 1 Gbit/s
    assert playing.offered[-TRIES:] == pytest.approx([FIRST_GBPS * STEP**5] * TRIES)


def test_measure__ends_where_the_sender_does(monkeypatch: pytest.MonkeyPatch) -> None:
    playing = Playing(late_gbps=100, most_gbps=1.5)
    assert measured(monkeypatch, playing) == 1.5
    assert playing.offered[-1] == pytest.approx(2.0)


def test_measure__what_disturbs_once_is_not_the_ceiling(monkeypatch: pytest.MonkeyPatch) -> None:
    assert measured(monkeypatch, Playing(late_gbps=100, most_gbps=1.5, disturbed=TRIES - 1)) == 1.5


def test_measure__frames_that_vanish_are_not_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert measured(monkeypatch, Playing(late_gbps=100, most_gbps=1.5, lost=0.01)) == 0


def test_measure__without_loss_and_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    playing = Playing(late_gbps=0.1, most_gbps=100)
    measured(monkeypatch, playing)
    for one in (playing.asked[0].forward, playing.asked[0].backward):
        assert (one.loss, one.rate_bps, one.queue_bytes) == (0, NO_LIMIT_BPS, None)
        assert (one.delay_us, one.duplicate) == (1000, 0.01)


@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize("one", [Impairment(), Impairment(delay_us=1000.0), Impairment(rate_bps=1e6)])
def test_measure__frames_really_pass(one: Impairment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ceiling, "STEPS_MOST", 1)
    monkeypatch.setattr(ceiling, "FIRST_GBPS", 0.01)
    monkeypatch.setattr(ceiling, "TRIES", 20)  # a busy machine is no reason to fail
    found = ceiling.measure(Impairments(forward=one, backward=one), mtu=1500, frame_bytes=200)
    assert 0.008 < found < 0.012
