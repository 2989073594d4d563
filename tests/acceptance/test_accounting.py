# SPDX-License-Identifier: GPL-2.0-only
"""What the two sides say of a transfer is what the wire says: every level, datapath and delivery, and every impairment.

namespace ...a                      namespace ...m                       namespace ...b
towline send, tl0      <------>  left  the emulator  right  <------>  towline receive, tl0
"""

from __future__ import annotations

from typing import Any

import pytest

from towline.framing import LEVELS
from towline.lab.accounting import CHATTER_FRAMES, violations
from towline.lab.run import Run, run
from towline.settings import Settings

pytestmark = [pytest.mark.acceptance, pytest.mark.usefixtures("namespaces")]

SIZE_BYTES = 4 << 20
DATAPATHS: list[tuple[str, str, str | None]] = [
    *(("ebpf", "ebpf", delivery) for delivery in ("direct", "ring")),
    *(("socket", "ebpf", delivery) for delivery in ("direct", "ring")),
    ("ebpf", "socket", None),
    ("socket", "socket", None),
]
IMPAIRMENTS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "loss": {"loss": (0.05, 0.05)},
    "burst loss": {"loss": (0.05, 0.0), "loss_burst": (8, 1)},
    "lost acknowledgements": {"loss": (0.0, 0.3)},
    "duplication": {"duplicate": (0.05, 0.05)},
    "corruption": {"corrupt": (0.01, 0.01)},
    "reordering": {"delay": (2000, 2000), "reorder": (0.05, 0.05)},
    "jitter": {"delay": (2000, 2000), "jitter": (1000, 1000)},
    "rate": {"delay": (5000, 5000), "rate": (200_000_000, 200_000_000), "queue": (40_000, 40_000)},
    "everything": {
        "delay": (1000, 1000),
        "loss": (0.02, 0.02),
        "duplicate": (0.02, 0.02),
        "corrupt": (0.01, 0.01),
        "reorder": (0.02, 0.02),
    },
}
WAYS: dict[str, dict[str, Any]] = {
    "copies": {"redundancy": 2, "loss": (0.02, 0.0)},
    "two lanes": {"lanes": 2},
    "two lanes and loss": {"lanes": 2, "loss": (0.05, 0.05)},
    "an acknowledgement each": {"ack_every": 1, "loss": (0.01, 0.01)},
    "a ring that is full": {"delivery": "ring", "ring_size": 65536, "consumer_delay_us": 300},
    "short records": {"delivery": "ring", "short_records": 100},
    "a checksum on each": {"checksum": True, "corrupt": (0.01, 0.0)},
    "a pace": {"pace": 200_000_000},
}


def transfer(*, emulated: bool = False, **settings: Any) -> dict[str, Any]:
    plan = Run(source=SIZE_BYTES, settings=Settings(sink="memory", **settings), seed=5, emulated=emulated)
    found = run(plan, lambda _: None)
    assert found["verified"]
    return found


def check(found: dict[str, Any]) -> None:
    """It adds up, and would not if a number were another."""
    assert violations(found) == []
    assert found["accounting"] is None
    altered = {"packets_sent": 1, "control_forward": -4 * CHATTER_FRAMES}
    if found["datapath_receiver"] == "ebpf" or found["captured_forward"] is not None:
        altered["nacks"] = CHATTER_FRAMES + 1
    if found["transmit"] == "udp" and found["captured_forward"] is None:
        del altered["control_forward"]  # packets that left as one frame
    for name, more in altered.items():
        assert violations(found | {name: found[name] + more}), name


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("sender", "receiver", "delivery"), DATAPATHS)
def test_violations__none_at_any_level(level: str, sender: str, receiver: str, delivery: str | None) -> None:
    how: dict[str, Any] = {
        "level": level,
        "datapath_sender": sender,
        "datapath_receiver": receiver,
        "delivery": delivery,
    }
    check(transfer(**how))


@pytest.mark.parametrize("impairment", IMPAIRMENTS)
@pytest.mark.parametrize(("sender", "receiver", "delivery"), DATAPATHS)
def test_violations__none_under_any_impairment(
    sender: str, receiver: str, delivery: str | None, impairment: str
) -> None:
    level = ("ethernet", "udp6")[list(IMPAIRMENTS).index(impairment) % 2]  # in turn
    how: dict[str, Any] = {
        "level": level,
        "datapath_sender": sender,
        "datapath_receiver": receiver,
        "delivery": delivery,
    }
    check(transfer(emulated=True, **how, **IMPAIRMENTS[impairment]))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("emulated", [False, True])
def test_violations__none_whatever_the_sender_does(way: str, emulated: bool) -> None:
    check(transfer(emulated=emulated, **WAYS[way]))
