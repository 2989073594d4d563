# SPDX-License-Identifier: GPL-2.0-only
"""A peer that dies in mid-transfer, at the default time-out: the other side ends within 12 s and names the progress.

namespace ...a                      namespace ...b
towline send, tl0     <---------->  towline receive, tl0
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.end_to_end.hand import hand, receiving
from towline.errors import PeerError
from towline.lab.environments import veth

pytestmark = [pytest.mark.acceptance, pytest.mark.usefixtures("namespaces")]

ENDS_WITHIN_S = 12.0
SLOWLY = ("--size", "4G", "--pipelining", "0", "--acc", "1")


@pytest.mark.parametrize("delivery", ["direct", "ring"])
@pytest.mark.parametrize("side", ["receiver", "sender"])
def test_kill__the_other_side_ends_in_time(
    tmp_path: Path, side: str, delivery: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with (
        veth.veth() as path,
        receiving(path.receiver, "--output", str(tmp_path), "--delivery", delivery) as receiver,
        hand(path.sender, "send", path.target, *SLOWLY) as sender,
    ):
        sender.under_way()
        receiver.under_way()
        dying, other = (receiver, sender) if side == "receiver" else (sender, receiver)
        os.kill(dying.pid, signal.SIGKILL)
        killed = time.monotonic()
        assert other.wait(ENDS_WITHIN_S) == PeerError.exit_code
        with capsys.disabled():
            print(f"\n{side} killed, {delivery}: {time.monotonic() - killed:.1f} s, {other.said.strip()}", end="  ")
        assert "last progress: " in other.said
        if side == "sender":
            assert list(tmp_path.iterdir()) == []
