# SPDX-License-Identifier: GPL-2.0-only
"""The source that never pauses: its packets are placed, one and all, while programs take turns; nothing stays.

namespace ...a                                  namespace ...b
steady.bpf.c, tl0 02:..:0a  <--------------->  a receiver's program, tl0 02:..:0b
"""

from __future__ import annotations

import os
import threading
import time
from typing import Any

import numpy as np
import pytest

from benchmarks.swaps import steady
from towline.errors import RunError
from towline.kernel import bpffs
from towline.kernel.live import LiveFrames
from towline.kernel.netns import inside

pytestmark = pytest.mark.usefixtures("namespaces")

COUNT = 50
SHORT_US = 10
WAIT_S = 10.0


def test_measure_steady__each_swap_has_its_figures() -> None:
    before = os.sched_getaffinity(0), threading.active_count()
    found = steady.measure_steady(COUNT, alone_s=0.2)
    assert (os.sched_getaffinity(0), threading.active_count()) == before
    assert len(found.replace_us) == len(found.effect_us) == len(found.gap_us) == COUNT
    assert (found.gap_us > 0).all()
    assert (np.diff(found.other_gaps_us) >= 0).all()
    # Frames are no bursts of a process. (Not most moments: another process may have the CPU for as long as it likes.)
    assert np.percentile(found.other_gaps_us, 5) < SHORT_US
    assert found.packets == found.placed > 0
    assert f"{COUNT} {steady.WHAT}" in steady.block(found)


def test_flowing__packets_come_until_the_block_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steady, "REPEAT", 1 << 14)  # so that one call follows the other
    with steady.flowing() as (place, state, source):
        for _ in range(10):
            wait_for_more(state, 1 << 16)
        source.stop()
        placed = source.packets
        assert int(state["placed"]) == placed
        # Answers go back as they would to a sender; and no slot is taken twice before it is free again.
        assert state["acks"] > 0
        assert not state["duplicates"]
        assert not state["out_of_window"]
        assert not state["corrupt"]
        assert not state["malformed"]
    assert not place.is_there()
    kept = bpffs.existing()
    assert kept is None or not (kept / "links" / str(place.link)).exists()


def wait_for_more(state: Any, packets: int) -> None:
    wanted, deadline = int(state["placed"]) + packets, time.monotonic() + WAIT_S
    while int(state["placed"]) < wanted:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_measure_steady__no_effect_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def run_once(source: steady.Source) -> None:
        with inside(source._namespace):
            source._frames.run(1 << 10)

    monkeypatch.setattr(steady.Source, "_run", run_once)
    with pytest.raises(RunError, match=r"packets came no longer after 0 of 50 swaps"):
        steady.measure_steady(COUNT, alone_s=0.0)


def test_measure_steady__what_stops_the_source_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_frames: object, _count: int) -> bool:
        raise OSError("no live frames today")

    monkeypatch.setattr(LiveFrames, "run", refuse)
    with pytest.raises(OSError, match="no live frames today"):
        steady.measure_steady(COUNT, alone_s=0.0)
