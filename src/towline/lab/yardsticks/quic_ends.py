# SPDX-License-Identifier: GPL-2.0-only
"""The two processes of the yardstick `quic-aioquic`: a client that sends a file, a server that writes it.

python -m towline.lab.yardsticks.quic_ends receive ADDRESS PORT CONGESTION PATH CAP_S FOLDER DATAGRAM_BYTES
python -m towline.lab.yardsticks.quic_ends send    ADDRESS PORT CONGESTION PATH CAP_S FOLDER DATAGRAM_BYTES

One stream: the bytes and its end; one byte back when they are written and synced. Each prints one line of JSON when
it is done. After CAP_S seconds (0: never) the server says what it has, and closes the connection.
The client hands the whole file to aioquic at once (it has no word for "wait until there is room"), so it is in memory.
FOLDER holds certificate.pem and key.pem.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import socket
import ssl
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.asyncio.server import QuicServer
from aioquic.quic.configuration import QuicConfiguration

from towline.lab import machine
from towline.lab.yardsticks.usage import usage

_WRITTEN = b"\1"
_START_S = 20.0
_GRACE_S = 2.0  # the client's, until it has heard that the server went away; and the server's, until it was heard
_UNLIMITED_BYTES = 1 << 40
_BUFFER_BYTES = 8 << 20
_CHUNK_BYTES = 1 << 20
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h


@dataclasses.dataclass(kw_only=True)
class _Taken:
    """What the server has: a connection, and how many bytes; `done`: that all are written, or why not."""

    done: asyncio.Future[None]
    first: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)
    connection: QuicConnectionProtocol | None = None
    received_bytes: int = 0


async def receive(where: tuple[str, int], shape: QuicConfiguration, path: Path, cap_s: float) -> dict[str, Any]:
    """Take one file from one client."""
    loop = asyncio.get_running_loop()
    taken = _Taken(done=loop.create_future())
    tasks = set()

    def connected(*arguments: Any, **options: Any) -> QuicConnectionProtocol:
        taken.connection = QuicConnectionProtocol(*arguments, **options)
        return taken.connection

    def opened(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(_take(reader, writer, path, taken)))

    bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    bound.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
    bound.bind(where)
    transport, _ = await loop.create_datagram_endpoint(
        lambda: QuicServer(configuration=shape, create_protocol=connected, stream_handler=opened), sock=bound
    )
    await asyncio.wait_for(taken.first.wait(), _START_S)
    assert taken.connection is not None
    capped_s = None
    try:
        await asyncio.wait_for(taken.done, cap_s or None)
    except TimeoutError:
        capped_s = time.monotonic()
    except OSError:
        taken.connection.close()  # or the client would wait until it takes us for dead
        raise
    found = {"received_bytes": taken.received_bytes, "capped_s": capped_s}
    if capped_s is not None:
        taken.connection.close()
    with suppress(TimeoutError):  # the last words may have to be said twice
        await asyncio.wait_for(taken.connection.wait_closed(), _GRACE_S)
    transport.close()
    for task in tasks:
        task.cancel()
    return {**found, **usage()}


async def send(where: tuple[str, int], shape: QuicConfiguration, path: Path, cap_s: float) -> dict[str, Any]:
    """Send one file; the clock runs from the first byte until the server says that the last is written."""
    async with connect(*where, configuration=shape) as connection:
        reader, writer = await connection.create_stream()
        data = path.read_bytes()
        load = machine.baseline()
        begin = machine.cpu_time()
        started_s = time.monotonic()
        writer.write(data)
        writer.write_eof()
        answer = b""
        with suppress(TimeoutError, ConnectionError):
            answer = await asyncio.wait_for(reader.read(1), cap_s + _GRACE_S if cap_s else None)
        ended_s = time.monotonic()
        if answer != _WRITTEN and (not cap_s or ended_s < started_s + cap_s):
            raise EOFError("the server went away")
        end = machine.cpu_time()
    return {
        "started_s": started_s,
        "ended_s": ended_s,
        "load": load,
        "begin": dataclasses.asdict(begin),
        "end": dataclasses.asdict(end),
        "retransmissions": None,
        **usage(),
    }


async def _take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: Path, taken: _Taken) -> None:
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("xb", buffering=0) as file:
            while data := await reader.read(_CHUNK_BYTES):
                taken.first.set()
                taken.received_bytes += file.write(data)
            os.fsync(file.fileno())
        part.rename(path)
        writer.write(_WRITTEN)
        writer.write_eof()
        taken.done.set_result(None)
    except OSError as error:
        taken.done.set_exception(error)
    taken.first.set()  # an empty file has no first byte


def _shape(do: str, congestion: str, folder: Path, datagram_bytes: int) -> QuicConfiguration:
    shape = QuicConfiguration(
        is_client=do == "send",
        congestion_control_algorithm=congestion,
        max_data=_UNLIMITED_BYTES,
        max_stream_data=_UNLIMITED_BYTES,
        max_datagram_size=datagram_bytes,
        verify_mode=ssl.CERT_NONE,
    )
    if do == "receive":
        shape.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return shape


if __name__ == "__main__":
    _do, _address, _port, _congestion, _path, _cap_s, _folder, _datagram = sys.argv[1:]
    _end = {"receive": receive, "send": send}[_do]
    try:
        _made = _shape(_do, _congestion, Path(_folder), int(_datagram))
        print(json.dumps(asyncio.run(_end((_address, int(_port)), _made, Path(_path), float(_cap_s)))))
    except (OSError, EOFError) as _error:
        sys.exit(f"towline: {_error}")
