# SPDX-License-Identifier: GPL-2.0-only
"""The two processes of the yardstick `tcp`: one sends a file by sendfile, the other splices it into a file.

python -m towline.lab.yardsticks.tcp_ends receive ADDRESS PORT CONGESTION PATH CAP_S
python -m towline.lab.yardsticks.tcp_ends send    ADDRESS PORT CONGESTION PATH CAP_S

On the wire: the size (64 bits, big-endian), the bytes, and one byte back when they are written and synced.
Each prints one line of JSON when it is done. No byte passes through Python, and only the receiver copies, from the
socket's pages to the file's: 10 % faster than recv_into and write, twice as fast as recv_into mapped memory.
After CAP_S seconds (0: never) the receiver says what it has, and goes away.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Any

from towline.lab import machine
from towline.lab.yardsticks.usage import CappedError, stop_after, usage

_SIZE = struct.Struct(">Q")
_WRITTEN = b"\1"
_GRACE_S = 2.0  # the sender's, until it has heard that the receiver went away
_PIPE_BYTES = 1 << 20  # the most that a pipe may hold without privileges
_TOTAL_RETRANSMISSIONS = struct.Struct("=100xI")  # tcpi_total_retrans in struct tcp_info


def receive(address: str, port: int, congestion: str, path: Path, cap_s: float) -> dict[str, Any]:
    """Take one file from one sender; EOFError where it goes away too early."""
    listener = socket.socket()
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, congestion.encode())
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # the run before may have left connections
    listener.bind((address, port))
    listener.listen(1)
    connection, _ = listener.accept()
    with connection, listener:
        part = path.with_name(f".{path.name}.part")
        size_bytes = _SIZE.unpack(connection.recv(_SIZE.size, socket.MSG_WAITALL))[0]
        file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            stop_after(cap_s)
            _splice(connection.fileno(), file, size_bytes)
            stop_after(0)
        except CappedError:
            return {"received_bytes": os.fstat(file).st_size, "capped_s": time.monotonic(), **usage()}
        os.fsync(file)
        part.rename(path)
        connection.sendall(_WRITTEN)
        os.close(file)
    return {"received_bytes": size_bytes, "capped_s": None, **usage()}


def send(address: str, port: int, congestion: str, path: Path, cap_s: float) -> dict[str, Any]:
    """Send one file; the clock runs from the first byte until the receiver says that the last is written."""
    with socket.socket() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, congestion.encode())
        connection.connect((address, port))
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        size_bytes = os.fstat(file).st_size
        load = machine.baseline()
        begin = machine.cpu_time()
        started_s = time.monotonic()
        try:
            stop_after(cap_s and cap_s + _GRACE_S)
            connection.sendall(_SIZE.pack(size_bytes))
            sent = 0
            while sent < size_bytes:
                sent += os.sendfile(connection.fileno(), file, sent, size_bytes - sent)
            if connection.recv(1) != _WRITTEN:
                raise EOFError("the receiver went away")
        except (CappedError, OSError, EOFError):
            if not cap_s or time.monotonic() < started_s + cap_s:
                raise
        stop_after(0)
        ended_s = time.monotonic()
        end = machine.cpu_time()
        about = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TOTAL_RETRANSMISSIONS.size)
        os.close(file)
    return {
        "started_s": started_s,
        "ended_s": ended_s,
        "load": load,
        "begin": dataclasses.asdict(begin),
        "end": dataclasses.asdict(end),
        "retransmissions": _TOTAL_RETRANSMISSIONS.unpack(about)[0],
        **usage(),
    }


def _splice(source: int, target: int, size_bytes: int) -> None:
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    left = size_bytes
    while left:
        taken = os.splice(source, writing, min(left, _PIPE_BYTES))
        if not taken:
            raise EOFError(f"the sender went away with {left} bytes missing")
        left -= taken
        while taken:
            taken -= os.splice(reading, target, taken)
    os.close(reading)
    os.close(writing)


if __name__ == "__main__":
    _do, _address, _port, _congestion, _path, _cap_s = sys.argv[1:]
    _end = {"receive": receive, "send": send}[_do]
    try:
        print(json.dumps(_end(_address, int(_port), _congestion, Path(_path), float(_cap_s))))
    except (OSError, EOFError) as _error:
        sys.exit(f"towline: {_error}")
