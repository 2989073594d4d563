# SPDX-License-Identifier: GPL-2.0-only
"""Both sides tell every 50 ms where they stand, on each datapath and delivery.

namespace ...a                      namespace ...b
towline send, tl0     <---------->  towline receive, tl0
"""

from __future__ import annotations

from typing import Any

import pytest

from towline.lab.run import Run, run
from towline.settings import Settings
from towline.transfer.events import Event, Sample

pytestmark = pytest.mark.usefixtures("namespaces")

SIZE_BYTES = 8 << 20  # about a third of a second at this pace
PACE = 200_000_000


@pytest.mark.parametrize(
    "settings",
    [
        {"delivery": "direct"},
        {"delivery": "ring", "lanes": 2},
        {"datapath_sender": "socket", "datapath_receiver": "socket"},
    ],
    ids=["direct", "ring", "socket"],
)
def test_samples__both_sides_from_nothing_to_everything(settings: dict[str, Any]) -> None:
    seen: list[Event] = []
    record = run(Run(source=SIZE_BYTES, settings=Settings(sink="memory", pace=PACE, **settings)), seen.append)
    samples = [event for event in seen if isinstance(event, Sample)]
    sender = [one for one in samples if one.side == "sender"]
    receiver = [one for one in samples if one.side == "receiver"]
    for side in (sender, receiver):
        assert (side[0].done_bytes, side[-1].done_bytes) == (0, SIZE_BYTES)
        assert 4 <= len(side) <= record["total_seconds"] / 0.05 + 3
        for name in ("at_us", "done_bytes"):
            values = [getattr(one, name) for one in side]
            assert values == sorted(values)
    assert sender[-1].packets_sent == record["packets_sent"]
    assert sender[-1].retransmissions == record["retransmissions"]
    assert sender[-1].rtt_us is not None
    assert all(one.window_fill is not None and 0 <= one.window_fill <= 1 for one in sender)
    assert any(one.window_fill for one in sender)
    fills = [one.ring_fill for one in receiver if one.ring_fill is not None]
    assert bool(fills) == (settings.get("delivery") == "ring")
    assert all(0 <= fill <= 1 for fill in fills)
