# SPDX-License-Identifier: GPL-2.0-only
"""Counters that add up, and each way in which they may not."""

from __future__ import annotations

from typing import Any

import pytest

from towline.lab import record
from towline.lab.accounting import CHATTER_FRAMES, violations

CLEAN = {
    "level": "ethernet",
    "datapath_sender": "ebpf",
    "datapath_receiver": "ebpf",
    "transmit": "live",
    "payload_size": 1000,
    "file_bytes": 1_000_000,
    "seconds": 1.0,
    "goodput_gbps": 0.008,
    "packets": 1000,
    "retransmissions": 7,
    "redundant_copies": 3,
    "packets_sent": 1010,
    "control_forward": 6,
    "frames_forward": 1016,
    "dropped_forward": 2,
    "acks": 32,
    "nacks": 1,
    "control_backward": 3,
    "frames_backward": 40,
    "dropped_backward": 0,
    "placed": 1000,
    "duplicates": 10,
    "corrupt": 0,
    "ring_full": 0,
    "out_of_window": 0,
    "contended": 0,
    "malformed": 0,
}
EMULATED = {
    "captured_forward": 1020,
    "captured_backward": 41,
    "carried_forward": 1020,
    "carried_backward": 41,
    "measured_loss_forward": 100 / 1020,
    "measured_duplication_forward": 50 / 1020,
    "measured_corruption_forward": 0.0,
    "duplicates": 10 - 50,
}


def made_up(**changes: Any) -> dict[str, Any]:
    return dict.fromkeys(record.FIELDS) | CLEAN | changes


def test_violations__none_where_all_adds_up() -> None:
    assert violations(made_up()) == []
    assert violations(made_up(**EMULATED)) == []
    assert violations(dict.fromkeys(record.FIELDS)) == []


@pytest.mark.parametrize("name", ["packets", "retransmissions", "redundant_copies", "packets_sent"])
@pytest.mark.parametrize("by", [-1, 1])
def test_violations__every_packet_sent_has_a_reason(name: str, by: int) -> None:
    found = violations(made_up(**{name: CLEAN[name] + by}))  # type: ignore[operator]
    assert len(found) == 1
    assert "packets_sent is not " in found[0]


@pytest.mark.parametrize("name", ["control_forward", "frames_forward", "frames_backward", "acks", "nacks"])
@pytest.mark.parametrize("by", [-20, 20])
def test_violations__the_wire_has_seen_what_was_sent(name: str, by: int) -> None:
    (said, *_) = violations(made_up(**{name: CLEAN[name] + by}))  # type: ignore[operator]
    assert "frames_" in said


def test_violations__hosts_say_a_little_and_never_less_than_nothing() -> None:
    counted = CLEAN["packets_sent"] + CLEAN["control_forward"]  # type: ignore[operator]
    dropped = CLEAN["dropped_forward"]
    left = counted - dropped
    assert violations(made_up(frames_forward=left + CHATTER_FRAMES)) == []
    assert violations(made_up(frames_forward=left + CHATTER_FRAMES + 1)) != []
    assert violations(made_up(frames_forward=left - 1)) != []
    assert violations(made_up(frames_forward=left, dropped_forward=0)) != []


def test_violations__segments_of_one_frame_are_not_counted_by_the_wire() -> None:
    assert violations(made_up(transmit="udp", level="udp6", frames_forward=20)) == []
    assert violations(made_up(transmit="udp", level="udp6", frames_forward=20, **EMULATED)) != []


def test_violations__hosts_ask_again_in_a_long_run() -> None:
    frames = CLEAN["frames_forward"] + CHATTER_FRAMES + 10  # type: ignore[operator]
    assert violations(made_up(frames_forward=frames)) != []
    assert violations(made_up(frames_forward=frames, total_seconds=100.0)) == []


def test_violations__a_message_may_wait_for_a_neighbour_in_vain() -> None:
    said = {"packets_sent": 1010, "control_forward": 9, "dropped_forward": 0, "captured_forward": 1016}
    change = EMULATED | said | {"frames_forward": 1016}
    assert violations(made_up(level="udp6", **change)) == []
    assert violations(made_up(level="ethernet", **change)) != []  # nobody asks for a neighbour
    assert violations(made_up(level="udp6", **change | {"control_forward": 0, "frames_forward": 1009})) != []


def test_violations__what_a_slow_emulator_did_to_packets_is_not_known() -> None:
    assert violations(made_up(**EMULATED | {"placed": 500})) != []
    assert violations(made_up(**EMULATED | {"placed": 500, "void": True})) == []


@pytest.mark.parametrize(
    "change",
    [
        {"captured_forward": 1040},
        {"captured_backward": 39},
        {"measured_loss_forward": 0.0},
        {"measured_loss_forward": 0.2},
        {"measured_duplication_forward": 0.0},
    ],
)
def test_violations__the_emulator_tells_the_same_story(change: dict[str, Any]) -> None:
    assert len(violations(made_up(**EMULATED | change))) == 1


@pytest.mark.parametrize("name", ["placed", "corrupt", "ring_full", "out_of_window", "contended", "malformed"])
def test_violations__each_packet_that_arrived_has_one_fate(name: str) -> None:
    (said,) = violations(made_up(**{name: CLEAN[name] + 50}))  # type: ignore[operator]
    assert said == "the receiver saw 1060 packets where 1016 frames arrived"
    assert violations(made_up(**{name: CLEAN[name] + 50, "datapath_receiver": "socket"})) == []  # type: ignore[operator]


@pytest.mark.parametrize("name", ["rate_forward", "pace"])
def test_violations__goodput_is_below_what_the_path_has_room_for(name: str) -> None:
    assert violations(made_up(**{name: 8.5e6})) == []
    (said,) = violations(made_up(**{name: 8e6}))  # 8 Mbit/s of frames have less than 8 of payload
    assert "more than" in said
