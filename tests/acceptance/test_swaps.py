# SPDX-License-Identifier: GPL-2.0-only
"""Ten thousand swaps of each side's program in one transfer; as many before a source of packets that never pauses;
files saved under `towline kernel watch`.

namespace ...a                      namespace ...b
towline send, tl0     <---------->  towline receive, tl0
      ^                                     ^
      +---- who swaps, of no namespace -----+
"""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.swaps import __main__ as swaps
from benchmarks.swaps import steady
from towline.parameter import Role

pytestmark = [pytest.mark.acceptance, pytest.mark.usefixtures("namespaces")]

# What was aimed at, on a quiet machine; a busy one may take four times as long.
GAP_US, EFFECT_US, SAVED_MS = 20, 1000, 500
BUSY = 4


@pytest.mark.parametrize("side", swaps.PROGRAMS)
def test_swaps__ten_thousand_in_one_transfer(side: Role, capsys: pytest.CaptureFixture[str]) -> None:
    found = swaps.measure(side)
    with capsys.disabled():
        print("\n" + swaps.table([found]), end="  ")
    sent, received = found.records["sender"], found.records["receiver"]
    assert len(found.gap_us) == swaps.COUNT
    # Each packet was placed once: none was acknowledged for other bytes a second time. That the bytes are the sender's
    # says the digest of the whole, or both would have failed.
    assert received["placed"] == sent["packets"]
    # And none was lost to a swap: what was sent again (a probe, when a process was late) found itself placed.
    assert sent["retransmissions"] == received["useless_retransmissions"] == received["duplicates"]
    assert received["corrupt"] == received["malformed"] == received["out_of_window"] == 0
    # Both processes and who swaps share the CPUs, so gaps of milliseconds are there without a swap: it adds nothing.
    assert np.percentile(found.gap_us, 99) < max(BUSY * GAP_US, 1.5 * np.percentile(found.other_gaps_us, 99))
    assert np.percentile(found.effect_us, 50) < EFFECT_US


def test_swaps__no_packet_waits_for_a_swap(capsys: pytest.CaptureFixture[str]) -> None:
    found = steady.measure_steady()
    with capsys.disabled():
        print("\n" + steady.block(found), end="  ")
    assert len(found.gap_us) == swaps.COUNT
    assert found.placed == found.packets
    assert np.percentile(found.gap_us, 99) < BUSY * GAP_US


def test_swaps__a_saved_file_is_in_effect_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    found = swaps.measure_saved()
    with capsys.disabled():
        print("\n" + swaps.saved_line(found), end="  ")
    assert np.percentile(found, 50) < BUSY * SAVED_MS
