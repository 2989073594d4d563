# SPDX-License-Identifier: GPL-2.0-only
"""The environment `veth`: two ends that reach each other, and nothing afterwards.

namespace ...a                      namespace ...b
sender, tl0 02:..:0a  <---------->  receiver, tl0 02:..:0b
"""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
from pyroute2 import netns

from towline.errors import PermissionsError
from towline.lab.environments import veth

pytestmark = pytest.mark.usefixtures("namespaces")


def link(end: veth.End) -> dict[str, Any]:
    """What `ip` says of an end's interface."""
    command = end.command("ip", "-json", "-details", "link", "show", "dev", end.interface)
    found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    answer: dict[str, Any] = found[0]
    return answer


@pytest.mark.parametrize("lanes", [1, 2])
def test_veth__has_addresses_mtu_and_a_queue_for_each_lane(lanes: int) -> None:
    with veth.veth(lanes=lanes, mtu=3000) as path:
        for end in (path.sender, path.receiver):
            about = link(end)
            assert (about["address"], about["mtu"]) == (end.mac, 3000)
            assert (about["num_tx_queues"], about["num_rx_queues"]) == (lanes, lanes)
            assert {"UP", "LOWER_UP"} <= set(about["flags"])
        assert path.target == f"{path.receiver.mac}%{path.sender.interface}"


def test_veth__two_at_a_time_do_not_meet() -> None:
    with veth.veth() as one, veth.veth() as other:
        names = {end.namespace for path in (one, other) for end in (path.sender, path.receiver)}
        assert len(names) == 4
        assert names <= set(netns.listnetns())


def test_veth__is_gone_after_an_exception() -> None:
    with pytest.raises(KeyboardInterrupt), veth.veth() as path:
        raise KeyboardInterrupt
    assert {path.sender.namespace, path.receiver.namespace} & set(netns.listnetns()) == set()


def test_veth__half_made_is_gone_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object, **_kwargs: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(veth, "_join", fail)
    with pytest.raises(PermissionsError, match="CAP_SYS_ADMIN"), veth.veth():
        pass
