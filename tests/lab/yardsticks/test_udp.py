# SPDX-License-Identifier: GPL-2.0-only
"""UDP counts what arrived, each packet once.

namespace ...a                    namespace ...m                       namespace ...b
udp_ends send  <------->  left  the emulator  right  <------->  udp_ends receive
"""

from __future__ import annotations

import pytest

from towline.lab.emulator.impairments import Impairment, Impairments
from towline.lab.yardsticks import udp
from towline.lab.yardsticks.job import Job

SIZE_BYTES = (1 << 20) + 1

pytestmark = pytest.mark.usefixtures("namespaces")


def test_measure__copies_count_once_and_losses_are_told() -> None:
    forward = Impairment(loss=0.2, duplicate=0.5, rate_bps=1e9)
    found = udp.measure(Job(source=SIZE_BYTES, impairments=Impairments(forward=forward), rate_bps=100_000_000))
    assert found["loss"] == pytest.approx(0.2, abs=0.1)
    assert found["file_bytes"] == pytest.approx(SIZE_BYTES * (1 - found["loss"]), rel=0.01)
    assert (found["congestion"], found["retransmissions"], found["verified"]) == (None, None, None)


def test_measure__all_arrives_where_nothing_is_lost_and_the_rate_is_kept() -> None:
    both = Impairment(rate_bps=100e6)
    asked = Job(source=SIZE_BYTES, impairments=Impairments(forward=both, backward=both), rate_bps=90_000_000)
    found = udp.measure(asked)
    assert (found["loss"], found["file_bytes"]) == (0, SIZE_BYTES)  # the last packet is filled up, and counts less
    assert found["goodput_gbps"] < 0.09
