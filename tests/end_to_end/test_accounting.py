# SPDX-License-Identifier: GPL-2.0-only
"""What the two sides say of a transfer is what the wire says; `make acceptance` tries every combination.

namespace ...a                      namespace ...m                       namespace ...b
towline send, tl0      <------>  left  the emulator  right  <------>  towline receive, tl0
"""

from __future__ import annotations

from typing import Any

import pytest

from towline.lab.accounting import CHATTER_FRAMES, violations
from towline.lab.run import Run, run
from towline.settings import Settings

pytestmark = pytest.mark.usefixtures("namespaces")


@pytest.mark.parametrize(
    "settings",
    [
        {"level": "raw", "redundancy": 2, "ack_every": 1},
        {"delivery": "ring", "loss": (0.05, 0.05), "duplicate": (0.05, 0.0)},
        {"level": "udp6", "datapath_sender": "socket", "datapath_receiver": "socket", "loss": (0.05, 0.05)},
    ],
    ids=["raw", "ring", "socket"],
)
def test_violations__none_of_a_transfer(settings: dict[str, Any]) -> None:
    found = run(Run(source=4 << 20, settings=Settings(sink="memory", **settings), seed=5), lambda _: None)
    assert violations(found) == []
    assert found["accounting"] is None
    for name, more in (("retransmissions", 1), ("frames_forward", 2 * CHATTER_FRAMES), ("acks", CHATTER_FRAMES + 1)):
        assert violations(found | {name: found[name] + more}), name
