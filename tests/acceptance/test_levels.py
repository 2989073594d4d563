# SPDX-License-Identifier: GPL-2.0-only
"""Every level with every datapath and delivery, as one types it; and one receiver for four levels at once.

namespace ...a                      namespace ...b
towline send, tl0     <---------->  towline receive, tl0
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.end_to_end.hand import hand, receiving
from towline.framing import LEVELS
from towline.lab import verify
from towline.lab.environments import veth

pytestmark = [pytest.mark.acceptance, pytest.mark.usefixtures("namespaces")]

MIB = 1 << 20
WATCHDOG_S = 60
DATAPATHS = {
    "ebpf:ebpf": ("direct", "ring"),
    "socket:ebpf": ("direct", "ring"),
    "ebpf:socket": (None,),
    "socket:socket": (None,),
}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("datapath", "delivery"), [(path, one) for path in DATAPATHS for one in DATAPATHS[path]])
def test_transfer__each_level(
    level: str, datapath: str, delivery: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--level", level, "--size", "8M", "--datapath", datapath, *(["--delivery", delivery] if delivery else [])]
    command = [sys.executable, "-m", "towline", "lab", "transfer", "--json", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=WATCHDOG_S)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    with capsys.disabled():
        print(f"\n{level:9} {datapath:14} {delivery or '-':7} {record['goodput_gbps']:.2f} Gbit/s", end="  ")
    assert record["verified"] is True
    assert (record["level"], record["delivery"]) == (level, delivery)
    assert f"{record['datapath_sender']}:{record['datapath_receiver']}" == datapath


@pytest.mark.parametrize("receiver", ["ebpf", "socket"])
def test_receive__four_levels_at_once(tmp_path: Path, receiver: str) -> None:
    with ExitStack() as stack:
        path = stack.enter_context(veth.veth(gro=True))
        words = ("--output", str(tmp_path), "--keep", "--datapath", receiver)
        keeper = stack.enter_context(receiving(path.receiver, *words))
        ready = keeper.until(lambda event: event["event"] == "ready")
        assert ready["levels"] == ["ethernet", "ipv6", "udp6", "udp4"]
        address, address6 = str(path.receiver.address), str(path.receiver.address6)
        targets = {"ethernet": path.target, "ipv6": address6, "udp6": address6, "udp4": address}
        # A hook has room for one program: the first sender takes it, the others hear through their sockets.
        senders = {
            level: stack.enter_context(
                hand(
                    path.sender,
                    *("send", "--size", "64M", "--seed", str(seed), target, "--level", level),
                    *("--datapath", "ebpf" if level == "udp6" else "socket", "--pace", "100mbit"),
                )
            )
            for seed, (level, target) in enumerate(targets.items())
        }
        for level, sender in senders.items():
            assert sender.finished()["level"] == level
        begun = max(sender.started_at for sender in senders.values())
        assert begun < min(sender.ended_at for sender in senders.values()), "they were not there at the same time"
        for seed in range(len(targets)):
            assert verify.same(verify.source_chunks(64 * MIB, seed), tmp_path / f"random-{64 * MIB}-{seed}")
