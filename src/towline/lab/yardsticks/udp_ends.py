# SPDX-License-Identifier: GPL-2.0-only
"""The two processes of the yardstick `udp`: one sends numbered packets of a file, the other counts them.

python -m towline.lab.yardsticks.udp_ends receive ADDRESS PORT PATH PACKET_BYTES PER_SECOND CAP_S
python -m towline.lab.yardsticks.udp_ends send    ADDRESS PORT PATH PACKET_BYTES PER_SECOND CAP_S

A packet: its number (64 bits, as the machine has it), then bytes of the file, the last one filled up. Messages of one
byte come before (until they are answered: then the neighbours are known, and nothing is lost for want of them) and
after.
Several packets are one call, which the kernel cuts apart, and joins at the receiver (GSO and GRO).
PER_SECOND packets (0: as many as leave), for CAP_S seconds at most (0: all). Each prints one line of JSON.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from towline.lab import machine
from towline.lab.yardsticks.usage import usage

_HELLO, _END = b"h", b"e"
_HELLO_S = 0.05  # between two
_START_S = 20.0
_SILENCE_S = 2.0  # the receiver's, after the first packet
_ENDS = 20  # one of them arrives
_END_S = 0.005  # between two, so that a full buffer has been read
_BUFFER_BYTES = 8 << 20  # as towline's sockets have it
_LARGEST_BYTES = 65_507
_BURST_S = 0.001  # what leaves in one call at most; a queue on the path holds more
_LAG_S = 0.02  # who was late by more goes on from there: what was missed would leave as one burst
_NUMBER_BYTES = 8
_SOL_UDP, _UDP_SEGMENT, _UDP_GRO, _SO_RCVBUFFORCE = 17, 103, 104, 33  # linux/udp.h, asm-generic/socket.h


def receive(where: tuple[str, int], path: Path, packet_bytes: int, _per_second: float, _cap_s: float) -> dict[str, Any]:
    """Count what comes, each packet once, until the end is said or nothing comes for a while."""
    packets = _packets(path, packet_bytes)
    arrived = np.zeros(packets, bool)
    last_s = None
    room = np.zeros(1 << 16, np.uint8)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        opened.setsockopt(_SOL_UDP, _UDP_GRO, 1)
        opened.bind(where)
        opened.settimeout(_START_S)
        while True:
            try:
                count, peer = opened.recvfrom_into(room.data)
            except TimeoutError:
                break
            if count >= packet_bytes:
                numbers = room[: count - count % packet_bytes].reshape(-1, packet_bytes)[:, :_NUMBER_BYTES]
                arrived[numbers.copy().view(np.uint64).ravel() % packets] = True
                last_s = time.monotonic()
                opened.settimeout(_SILENCE_S)
            elif room[0] == _HELLO[0]:
                opened.sendto(_HELLO, peer)
            elif room[0] == _END[0]:
                break
    return {"packets": int(arrived.sum()), "last_packet": bool(packets and arrived[-1]), "last_s": last_s, **usage()}


def send(where: tuple[str, int], path: Path, packet_bytes: int, per_second: float, cap_s: float) -> dict[str, Any]:
    """Send the file, or what leaves until the time is over."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        _greet(opened, where)
        joined = _joined(opened, where, packet_bytes, per_second)
        load = machine.baseline()
        begin = machine.cpu_time()
        started_s = time.monotonic()
        sent = _send_all(opened, where, path, packet_bytes, joined, per_second, cap_s)
        ended_s = time.monotonic()
        end = machine.cpu_time()
        for _ in range(_ENDS):
            time.sleep(_END_S)
            opened.sendto(_END, where)
    return {
        "packets": sent,
        "joined": joined,
        "started_s": started_s,
        "ended_s": ended_s,
        "load": load,
        "begin": dataclasses.asdict(begin),
        "end": dataclasses.asdict(end),
        **usage(),
    }


def _send_all(
    opened: socket.socket,
    where: tuple[str, int],
    path: Path,
    packet_bytes: int,
    joined: int,
    per_second: float,
    cap_s: float,
) -> int:
    data_bytes = packet_bytes - _NUMBER_BYTES
    packets = _packets(path, packet_bytes)
    message = np.zeros((joined, packet_bytes), np.uint8)
    started_s = due_s = time.monotonic()
    sent = 0
    with path.open("rb", buffering=0) as file:
        chunk = bytearray(joined * data_bytes)
        while sent < packets:
            now_s = time.monotonic()
            if cap_s and now_s - started_s >= cap_s:
                break
            if per_second and now_s < due_s:
                time.sleep(due_s - now_s)
            count = min(joined, packets - sent)
            chunk[file.readinto(chunk) :] = b""
            chunk.extend(bytes(joined * data_bytes - len(chunk)))
            message[:, _NUMBER_BYTES:] = np.frombuffer(chunk, np.uint8).reshape(joined, data_bytes)
            numbers = np.arange(sent, sent + joined, dtype=np.uint64)
            message[:, :_NUMBER_BYTES] = numbers.view(np.uint8).reshape(joined, _NUMBER_BYTES)
            opened.sendto(message[:count].data, where)
            sent += count
            if per_second:
                due_s = max(due_s, now_s - _LAG_S) + count / per_second
    return sent


def _packets(path: Path, packet_bytes: int) -> int:
    return -(-path.stat().st_size // (packet_bytes - _NUMBER_BYTES))


def _joined(opened: socket.socket, where: tuple[str, int], packet_bytes: int, per_second: float) -> int:
    """How many packets a call: a burst is to be short; one, where the kernel does not cut them for this interface."""
    most = _LARGEST_BYTES // packet_bytes
    joined = max(1, min(most, int(per_second * _BURST_S))) if per_second else most
    opened.setsockopt(_SOL_UDP, _UDP_SEGMENT, packet_bytes)
    try:
        opened.sendto(b"\0", where)  # says nothing
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        opened.setsockopt(_SOL_UDP, _UDP_SEGMENT, 0)
        return 1
    return joined


def _greet(opened: socket.socket, where: tuple[str, int]) -> None:
    opened.settimeout(_HELLO_S)
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        opened.sendto(_HELLO, where)
        with suppress(TimeoutError):
            if opened.recv(1) == _HELLO:
                opened.settimeout(None)
                return
    raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))


if __name__ == "__main__":
    _do, _address, _port, _path, _packet, _rate, _cap = sys.argv[1:]
    _end = {"receive": receive, "send": send}[_do]
    try:
        print(json.dumps(_end((_address, int(_port)), Path(_path), int(_packet), float(_rate), float(_cap))))
    except OSError as _error:
        sys.exit(f"towline: {_error}")
