# SPDX-License-Identifier: GPL-2.0-only
"""Who takes part in the bench: by name, in the order of a round, what to measure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import bare, plain_udp
from towline.framing import ETHERNET, LEVELS
from towline.lab.run import Run, run
from towline.lab.yardsticks import iperf3, tcp
from towline.lab.yardsticks.job import Job
from towline.settings import Settings

PAYLOAD_BYTES = 1400
MTU = 1500
CHUNK_BYTES = 1 << 20

Record = dict[str, Any]
Measure = Callable[["Course", int], Record]  # the course, the number of the round -> a record


class Course:
    """The bytes that all contestants move: so many from memory, or a file of so many in memory-backed storage."""

    def __init__(self, *, size_bytes: int, folder: Path, seed: int, congestion: str) -> None:
        """`folder`: with room for three times the bytes; `congestion`: TCP's control algorithm."""
        self.size_bytes, self.seed, self.congestion = size_bytes, seed, congestion
        self.output = folder / "received"
        self.output.mkdir()
        self._source = folder / "source"
        self._warming = folder / "warming"

    def file(self) -> Path:
        """The file, made when it is first asked for; and as many bytes of free pages that were used just now.

        Pages that were never used measure how fast the machine (or its host) finds memory.
        """
        if not self._source.exists():
            words = np.random.PCG64(self.seed)
            self._write(self._source, lambda: words.random_raw(CHUNK_BYTES // 8).tobytes())
        chunk = bytes(CHUNK_BYTES)
        self._write(self._warming, lambda: chunk)
        self._warming.unlink()
        return self._source

    def clear(self) -> None:
        """Remove what was received."""
        for path in self.output.iterdir():
            path.unlink()

    def _write(self, path: Path, chunk: Callable[[], bytes]) -> None:
        with path.open("wb", buffering=0) as file:
            for at in range(0, self.size_bytes, CHUNK_BYTES):
                file.write(chunk()[: self.size_bytes - at])


def _towline(*, memory: bool = True, **settings: Any) -> Measure:
    def measure(course: Course, number: int) -> Record:
        chosen = Settings(payload_size=PAYLOAD_BYTES, mtu=MTU, sink="memory" if memory else "file", **settings)
        if memory:
            plan = Run(source=course.size_bytes, settings=chosen, seed=course.seed + number, repetition=number)
            return run(plan, lambda _: None)
        plan = Run(source=course.file(), settings=chosen, repetition=number, output=course.output)
        try:
            return run(plan, lambda _: None)
        finally:
            course.clear()

    return measure


def _bare(*, lanes: int = 1, delivery: bare.Delivery = "direct") -> Measure:
    def measure(course: Course, _number: int) -> Record:
        size_bytes = course.size_bytes
        return bare.measure(size_bytes=size_bytes, lanes=lanes, delivery=delivery, payload_bytes=PAYLOAD_BYTES)

    return measure


def _job(course: Course, source: Path | int, number: int, offloads: bool) -> Job:
    return Job(
        source=source,
        offloads=offloads,
        congestion=course.congestion,
        mtu=MTU,
        repetition=number,
        output=course.output,
    )


def _iperf3(*, offloads: bool) -> Measure:
    return lambda course, number: iperf3.measure(_job(course, course.size_bytes, number, offloads))


def _sendfile(*, offloads: bool) -> Measure:
    return lambda course, number: tcp.measure(_job(course, course.file(), number, offloads))


def _plain_udp(*, joined: int = 1) -> Measure:
    def measure(course: Course, number: int) -> Record:
        job = _job(course, course.size_bytes, number, offloads=True)
        return plain_udp.measure(job, payload_bytes=PAYLOAD_BYTES, joined=joined)

    return measure


# What is compared stands next to each other: a machine that slows down slows both.
CONTESTANTS: Mapping[str, Measure] = {
    "bare loop, 1 lane": _bare(),
    "towline, 1 lane": _towline(),
    "bare loop, 2 lanes": _bare(lanes=2),
    "towline, 2 lanes": _towline(lanes=2),
    "bare loop, ring": _bare(delivery="ring"),
    "towline, ring": _towline(delivery="ring"),
    "iperf3, offloads off": _iperf3(offloads=False),
    "iperf3, offloads on": _iperf3(offloads=True),
    "TCP sendfile, offloads off": _sendfile(offloads=False),
    "towline, file to file": _towline(memory=False),
    "TCP sendfile, offloads on": _sendfile(offloads=True),
}

# Who runs once more with several times the bytes, to see whether its memory grows.
LARGER = ("towline, 1 lane", "towline, ring", "towline, file to file")

# One thing at a time is another than in PLAINEST, from memory to memory.
PLAINEST = f"{ETHERNET.name}, direct, no checksum"
SOCKETS: dict[str, Any] = {"datapath_sender": "socket", "datapath_receiver": "socket"}
VARIANTS: Mapping[str, Measure] = {
    PLAINEST: _towline(level=ETHERNET.name),
    **{f"level {name}": _towline(level=name) for name in LEVELS if name != ETHERNET.name},
    "checksum": _towline(checksum=True),
    "ring": _towline(delivery="ring"),
    "socket to ebpf": _towline(datapath_sender="socket"),
    "ebpf to socket": _towline(datapath_receiver="socket"),
    "socket to socket": _towline(**SOCKETS),
    "plain UDP": _plain_udp(),
    "socket to socket, udp6": _towline(level="udp6", **SOCKETS),
    "plain UDP, GSO": _plain_udp(joined=plain_udp.GSO_JOINED),
}
