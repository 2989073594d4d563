# SPDX-License-Identifier: GPL-2.0-only
"""UDP as one writes it in Python first: a loop of send, a loop of recv, nothing lost is noticed. The naive yardstick.

python -m benchmarks.plain_udp receive ADDRESS PORT PAYLOAD_BYTES
python -m benchmarks.plain_udp send    ADDRESS PORT PAYLOAD_BYTES PACKETS JOINED

`JOINED` packets a call: with more than one the kernel cuts them apart, and joins them at the receiver (GSO and GRO).
"""

from __future__ import annotations

import json
import socket
import sys
import time
from typing import Any

import msgspec

from towline.lab import machine
from towline.lab.environments import veth
from towline.lab.yardsticks import ends
from towline.lab.yardsticks.job import Job, Seen, record

PORT = 5203
SILENCE_S = 2.0  # the receiver's, after the first packet
START_S = 20.0
BUFFER_BYTES = 8 << 20  # as towline's sockets have it
GSO_JOINED = 46  # of 1400 bytes: what a message of UDP holds
_SOL_UDP, _UDP_SEGMENT, _UDP_GRO, _SO_RCVBUFFORCE = 17, 103, 104, 33  # linux/udp.h, asm-generic/socket.h
_LARGEST_BYTES = 1 << 16
_ENDS = 20  # datagrams of one byte that say that it is over: one of them arrives


class _Sent(msgspec.Struct, frozen=True, kw_only=True):
    started_s: float  # CLOCK_MONOTONIC, which both ends share


class _Received(msgspec.Struct, frozen=True, kw_only=True):
    received_bytes: int
    last_s: float


def measure(job: Job, *, payload_bytes: int, joined: int = 1) -> dict[str, Any]:
    """Send a job's bytes over IPv6; what arrived counts, from the first call to the last packet. Raises RunError."""
    packets = -(-job.source_bytes // payload_bytes)
    with veth.veth(mtu=job.mtu, gro=joined > 1) as path:
        where = [str(path.receiver.address6), str(PORT), str(payload_bytes)]
        with ends.end("receiver", path.receiver.command(*_command("receive", *where))) as receiver:
            assert receiver.process.stdout is not None
            receiver.process.stdout.readline()  # it is ready, or gone, which its last words tell
            load = machine.baseline()
            begin = machine.cpu_time()
            with ends.end(
                "sender", path.sender.command(*_command("send", *where, str(packets), str(joined)))
            ) as sender:
                sent = msgspec.json.decode(ends.last_words(sender, job.source_bytes), type=_Sent)
            said = msgspec.json.decode(ends.last_words(receiver, 0), type=_Received)
            end = machine.cpu_time()
        frames_sent = path.sender.frames_sent()
    seen = Seen(
        tool="Python, sendto and recv" + (", GSO" if joined > 1 else ""),
        sink="memory",
        load=load,
        begin=begin,
        end=end,
        received_bytes=said.received_bytes,
        seconds=said.last_s - sent.started_s,
        frames_sent=frames_sent,
    )
    return record("plain udp", job, seen)


def receive(address: str, port: int, payload_bytes: int) -> dict[str, Any]:
    """Take what comes until the end is said, or nothing comes for a while."""
    del payload_bytes
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as opened:
        opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, BUFFER_BYTES)
        opened.setsockopt(_SOL_UDP, _UDP_GRO, 1)
        opened.bind((address, port))
        opened.settimeout(START_S)
        print("ready", flush=True)
        room = bytearray(_LARGEST_BYTES)
        total = opened.recv_into(room)
        last = time.monotonic()
        opened.settimeout(SILENCE_S)
        try:
            while (count := opened.recv_into(room)) > 1:
                total += count
                last = time.monotonic()
        except TimeoutError:
            pass
        return {"received_bytes": total, "last_s": last}


def send(address: str, port: int, payload_bytes: int, packets: int, joined: int) -> dict[str, Any]:
    """Send so many packets, and say that it is over."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as opened:
        peer = (address, port)
        if joined > 1:
            opened.setsockopt(_SOL_UDP, _UDP_SEGMENT, payload_bytes)
        message = bytes(payload_bytes * joined)
        started = time.monotonic()
        for _ in range(packets // joined):
            opened.sendto(message, peer)
        if packets % joined:
            opened.sendto(message[: packets % joined * payload_bytes], peer)
        for _ in range(_ENDS):
            time.sleep(0.005)  # so that a full buffer has been read
            opened.sendto(b"\0", peer)
        return {"started_s": started}


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "benchmarks.plain_udp", *arguments]


if __name__ == "__main__":
    _do, _address, *_numbers = sys.argv[1:]
    try:
        if _do == "receive":
            print(json.dumps(receive(_address, *map(int, _numbers))))
        else:
            print(json.dumps(send(_address, *map(int, _numbers))))
    except OSError as _error:
        sys.exit(f"towline: {_error}")
