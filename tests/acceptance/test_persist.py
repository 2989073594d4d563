# SPDX-License-Identifier: GPL-2.0-only
"""`receive --persist`, killed with -9 at any moment, take-over included, until the file is there.

namespace ...a                      namespace ...b
towline send, tl0     <---------->  towline receive --persist, tl0: kill -9, and again, and again
"""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest

from tests.end_to_end.conftest import folder, path
from tests.end_to_end.hand import Hand, hand
from tests.end_to_end.test_persist import PROBE_S, kill, nothing_left, receive
from towline.lab import verify
from towline.lab.environments import veth

__all__ = ["folder", "nothing_left", "path"]  # fixtures

pytestmark = [pytest.mark.acceptance, pytest.mark.usefixtures("namespaces")]

SIZE_BYTES = 4 << 30
KILLS = 12
PROBES_AT_FIRST = 12
LONGEST_S = 1.5  # a receiver lives at most so long, and is dead for as long: some never come to take over


def started(path: veth.Path, folder: Path, *more: str) -> Hand:
    """Without waiting for it to be ready."""
    end = path.receiver
    return Hand(end, "receive", "--interface", end.interface, "--output", str(folder), "--persist", *more)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("more", [(), ("--delivery", "ring")], ids=["direct", "ring"])
def test_persist__killed_at_any_moment(
    path: veth.Path, folder: Path, more: tuple[str, ...], seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(seed)
    receiver = receive(path, folder, *more)
    how = ("--size", str(SIZE_BYTES), "--seed", str(seed), "--stall-timeout", "60")
    with hand(path.sender, "send", *how, path.target) as sender:
        sender.under_way()
        began = time.monotonic()
        kills = 0
        while sender.process.poll() is None:
            time.sleep(chance.uniform(0, LONGEST_S))
            if receiver.process.poll() is None and kills < KILLS:
                kill(receiver)
                kills += 1
                time.sleep(chance.uniform(0, LONGEST_S))
                receiver = started(path, folder, *more)
        try:
            record = sender.finished()
        finally:
            receiver.process.send_signal(signal.SIGINT)  # one that was killed with its work done waits for another
            receiver.wait()
            receiver.end()
    seconds = time.monotonic() - began
    [name] = [one.name for one in folder.iterdir()]
    assert verify.same(verify.source_chunks(SIZE_BYTES, seed), folder / name)
    with capsys.disabled():
        how_many = f"{record['packets']:,} packets, {record['retransmissions']} sent again"
        print(f"\n{' '.join(more) or 'direct'}: {how_many}, {kills} kills", end="  ")
    # Nothing that was acknowledged was sent again, but for the probes of a sender that must wait: one packet each, at
    # first after a few round trips, then twice as late each time, and four times a second at last. What found the ring
    # full was not acknowledged.
    own = next((event["record"] for event in receiver.events if event["event"] == "finished"), None)
    if own is not None:  # the last one was not killed between DONE and CLOSE
        assert record["retransmissions"] <= own["useless_retransmissions"] + own["ring_full"]
        assert own["useless_retransmissions"] <= seconds / PROBE_S + PROBES_AT_FIRST * (kills + 1)
