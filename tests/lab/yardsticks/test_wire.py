# SPDX-License-Identifier: GPL-2.0-only
"""The path of a job: programs that cannot be told their congestion control get it from the route."""

from __future__ import annotations

import subprocess
import sys

import pytest

from towline.lab.environments import veth
from towline.lab.yardsticks.job import Job
from towline.lab.yardsticks.wire import wire

LISTEN = """
import socket
listener = socket.create_server(("192.0.2.2", 5300))
print("ready", flush=True)
accepted, _ = listener.accept()
print(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\\0").decode())
"""
CONNECT = """
import socket
connected = socket.create_connection(("192.0.2.2", 5300))
print(connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\\0").decode())
"""
METRICS = ["cat", "/proc/sys/net/ipv4/tcp_no_metrics_save"]


def controls(path: veth.Path) -> list[str]:
    """The congestion control of a connection that was not told any: who accepted, who connected."""
    listen = path.receiver.command(sys.executable, "-c", LISTEN)
    with subprocess.Popen(listen, stdout=subprocess.PIPE, text=True) as listening:
        assert listening.stdout is not None
        assert listening.stdout.readline() == "ready\n"
        connect = path.sender.command(sys.executable, "-c", CONNECT)
        connected = subprocess.run(connect, capture_output=True, text=True, check=True).stdout
        return [listening.stdout.read().strip(), connected.strip()]


@pytest.mark.usefixtures("namespaces")
def test_wire__congestion_control_of_programs_that_cannot_be_told() -> None:
    with veth.veth() as path:
        for name in ("reno", "cubic"):
            with wire(Job(source=1, congestion=name), path) as crossed:
                assert crossed.path is path
                assert controls(path) == [name, name]
        remembered = subprocess.run(path.sender.command(*METRICS), capture_output=True, check=True)
        assert remembered.stdout == b"1\n"


@pytest.mark.usefixtures("namespaces")
def test_wire__counts_the_frames_since() -> None:
    with veth.veth() as path:
        with wire(Job(source=1), path):
            controls(path)
        before = path.sender.frames_sent()
        assert before > 0
        with wire(Job(source=1), path) as crossed:
            controls(path)
            assert 0 < crossed.frames_sent() <= path.sender.frames_sent() - before
            assert crossed.emulated() is None
