# SPDX-License-Identifier: GPL-2.0-only
"""A long path that loses packets, at a fixed rate: what share of it becomes goodput, and what TCP makes of the same.

namespace ...a                         namespace ...m                          namespace ...b
towline or iperf3, tl0  <------->  left  the emulator  right  <------->  tl0, towline or iperf3

500 Mbit/s, 25 ms each way, and a queue of one round trip's worth (3.1 MB, the emulator's default). The same seed is the
same wire for each. TCP is shown beside it and nothing is asked of it.
"""

from __future__ import annotations

from typing import Any

import pytest

from towline.framing import LEVELS
from towline.lab.emulator.impairments import Impairments
from towline.lab.run import Run, impairments_of, run
from towline.lab.yardsticks import iperf3
from towline.lab.yardsticks.job import Job
from towline.settings import MIB, Settings
from towline.wire import HEADER_BYTES

pytestmark = [pytest.mark.acceptance, pytest.mark.usefixtures("namespaces")]

RATE_BPS = 500_000_000
PACE_SHARE = 0.98
DELAY_US = 25_000
SIZE_BYTES = 256 * MIB  # the start and the tail, some round trips, are a tenth of 64 MiB
TCP_SECONDS = 10
USELESS_MOST = 0.02
LEAST = {0.01: 0.90, 0.10: 0.80}  # of the path's payload rate, by its loss
ATTEMPTS = 3  # void ones are repeated: somebody else had the processor


def settings(loss: float, **more: Any) -> Settings:
    pairs: dict[str, Any] = {"delay": (DELAY_US, DELAY_US), "rate": (RATE_BPS, RATE_BPS), "loss": (loss, loss)}
    return Settings(sink="memory", pace=round(PACE_SHARE * RATE_BPS), **pairs, **more)


def valid(plan: Run) -> dict[str, Any]:
    """The record of a run that counts."""
    for _ in range(ATTEMPTS):
        found = run(plan, lambda _: None)
        if not found["void"]:
            return found
    pytest.fail(f"void {ATTEMPTS} times: {found['void_reason']}")


def payload_rate_gbps(found: dict[str, Any]) -> float:
    """rate x payload / frame x (1 - loss)."""
    frame_bytes = LEVELS[found["level"]].frame_bytes + HEADER_BYTES + found["payload_size"]
    return float(RATE_BPS / 1e9 * found["payload_size"] / frame_bytes * (1 - found["loss_forward"]))


def tcp_record(impairments: Impairments | None, congestion: str) -> dict[str, Any]:
    """What TCP makes of the path in some seconds."""
    plan = Job(source=SIZE_BYTES, congestion=congestion, impairments=impairments, seconds=TCP_SECONDS)
    return iperf3.measure(plan)


@pytest.mark.parametrize("loss", LEAST)
def test_long_path__goodput_and_useless_packets(loss: float, capsys: pytest.CaptureFixture[str]) -> None:
    plan = Run(source=SIZE_BYTES, settings=settings(loss), seed=1)
    found = valid(plan)
    path_gbps = payload_rate_gbps(found)
    tcp = {name: tcp_record(impairments_of(plan), name) for name in ("cubic", "bbr")}
    with capsys.disabled():
        others = ", ".join(
            f"{name} {each['goodput_gbps'] * 1000:.1f}{' (void)' if each['void'] else ''}" for name, each in tcp.items()
        )
        print(f"\n{loss:.0%} loss: {told(found)}; TCP {others} Mbit/s", end="  ")
    assert found["measured_loss_forward"] == pytest.approx(loss, rel=0.1)
    assert found["goodput_gbps"] >= LEAST[loss] * path_gbps
    assert found["useless_retransmissions"] < USELESS_MOST * found["packets_sent"]
    assert all(each["measured_loss_forward"] > 0 for each in tcp.values())


def told(found: dict[str, Any]) -> str:
    """A line for a person."""
    share = found["goodput_gbps"] / payload_rate_gbps(found)
    useless = found["useless_retransmissions"] / found["packets_sent"]
    return (
        f"{found['datapath_sender']}:{found['datapath_receiver']} {found['goodput_gbps'] * 1000:.0f} Mbit/s, "
        f"{share:.1%} of the path's payload rate, {useless:.3%} useless"
    )
