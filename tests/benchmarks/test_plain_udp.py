# SPDX-License-Identifier: GPL-2.0-only
"""The naive yardstick: what arrives is counted, packets of the size that was asked for.

namespace ...a                              namespace ...b
plain_udp send, 2001:db8::1  <---------->  2001:db8::2, plain_udp receive
"""

from __future__ import annotations

import pytest

from benchmarks import plain_udp
from towline.lab.yardsticks import job
from towline.lab.yardsticks.job import Job

SIZE_BYTES = 4 << 20  # fits the receiver's buffer: nothing need be lost
PAYLOAD_BYTES = 1400

pytestmark = pytest.mark.usefixtures("namespaces")


@pytest.mark.parametrize("joined", [1, plain_udp.GSO_JOINED])
def test_measure__counts_what_arrived(joined: int) -> None:
    found = plain_udp.measure(Job(source=SIZE_BYTES), payload_bytes=PAYLOAD_BYTES, joined=joined)
    packets = -(-SIZE_BYTES // PAYLOAD_BYTES)
    assert tuple(found) == job.FIELDS
    assert 0 < found["file_bytes"] <= packets * PAYLOAD_BYTES
    assert found["goodput_gbps"] == pytest.approx(found["file_bytes"] * 8e-9 / found["seconds"])
    # While the neighbour is not resolved the kernel keeps a hundred messages and drops the rest: no more can be said.
    assert found["frames_sent"] > 0
