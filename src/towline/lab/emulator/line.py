# SPDX-License-Identifier: GPL-2.0-only
"""One direction of the emulator as its process sees it: orders in, what is due out, figures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from time import monotonic_ns, time_ns
from typing import Any

import numpy as np

from towline.kernel.live import LiveFrames
from towline.kernel.program import Object
from towline.lab.emulator.impairments import Counted, Impairment
from towline.lab.emulator.pcap import Capture
from towline.lab.emulator.pending import Pending

ALIGN_BYTES = 64  # ALIGN_BYTES of impair.bpf.c
RELEASE_MOST = 256  # SCHEDULE_MOST of impair.bpf.c; also as much as a veth's ring holds
_SLACK_BYTES = 4096  # MEMORY_SLACK of impair.bpf.c
_LATE_STEP_US, _LATE_STEPS = 5, 20_000  # the histogram of lateness; what is later than 100 ms counts as that
_COUNTS = {
    "captured": "captured",
    "captured_bytes": "bytes",
    "carried": "carried",
    "lost": "lost",
    "corrupted": "corrupted",
    "duplicated": "duplicated",
    "queue_dropped": "queue_dropped",
    "blackholed": "dark",
    "flushed": "flushed",
    "too_long": "too_long",
    "no_room": "no_room",
    "failed": "failed",
}


def _threshold(share: float) -> int:
    return round(share * 2**32)


@dataclass(kw_only=True)
class _Figures:
    """What was measured since the last orders."""

    released: int = 0
    released_bytes: int = 0
    first_ns: int = 0
    last_ns: int = 0
    in_turn: int = 0
    sum_us: float = 0.0
    squares: float = 0.0
    most_us: float = 0.0


class Line:
    """`number`: 0 forward, 1 backward; `inward`, `outward`: names of the interfaces in this namespace."""

    def __init__(
        self, program: Object, *, number: int, inward: str, outward: str, indices: tuple[int, int], mark: bytes
    ) -> None:
        self._state = program.globals("directions")[number]
        self._orders, self._counts = self._state["orders"], self._state["counts"]
        self._frames = program.memory("frames").reshape(2, -1)[number]
        self._mask = len(self._frames) - 1
        self._memory = program.map("memory").bytes().reshape(2, -1)[number]
        self._schedule = program.memory("schedule").reshape(2, -1)[number]
        self._live = LiveFrames(program.program(("forward", "backward")[number]), indices[0], mark, 64)
        self._inward, self._outward, self._out_index = inward, outward, indices[1]
        self.reset()

    def reset(self) -> None:
        """Forget all frames and figures."""
        self._taken = int(self._state["head"])
        self._end_bytes = int(self._state["head_bytes"])
        self._state["tail"], self._state["tail_bytes"] = self._taken, self._end_bytes
        self._pending = Pending(self._frames["due"])
        self._figures = _Figures()
        self._late = np.zeros(_LATE_STEPS, np.int64)
        self._state["counts"] = np.zeros((), self._counts.dtype)
        self._dropped_before = self._interface_dropped()

    def stop(self) -> None:
        """Let nothing in any more; wait a millisecond before `start`, for who is in the program already."""
        self._orders["on"] = 0

    def start(self, asked: Impairment, *, queue_bytes: int | None, seed: int, capture: bool) -> None:
        """New orders, new counts; frames that are in flight are gone. `capture`: every frame is to be seen."""
        enter, stay = asked.loss_chances()
        ps_per_byte = round(8e12 / asked.rate_bps) if asked.rate_bps else 0
        values = {
            "out": self._out_index,
            "stored": capture or asked.takes_time(),
            "delay_ns": round(asked.delay_us * 1000),
            "jitter_ns": round(asked.jitter_us * 1000),
            "ps_per_byte": ps_per_byte,
            "queue_ns": (queue_bytes or 0) * ps_per_byte // 1000,
            "enter": _threshold(enter),
            "stay": _threshold(stay),
            "corrupt": _threshold(asked.corrupt),
            "duplicate": _threshold(asked.duplicate),
            "reorder": _threshold(asked.reorder),
            "seed": seed & 2**64 - 1,
            "dark_until": 0,
        }
        for name, value in values.items():
            self._orders[name] = value
        for name in ("free_at", "free_ps", "burst"):
            self._state[name] = 0
        self.reset()
        self._orders["on"] = 1

    def blackhole(self, seconds: float) -> None:
        """Let nothing through for so long from now; what is in flight arrives."""
        self._orders["dark_until"] = monotonic_ns() + round(seconds * 1e9)

    def take(self) -> int:
        """Look at what was captured; returns how many frames that are."""
        head = int(self._state["head"])
        if (count := head - self._taken) <= 0:
            return 0
        new = self._frames[np.arange(self._taken, head) & self._mask]
        self._pending.add(self._taken, new["due"].astype(np.int64), new["hold"].astype(np.int64))
        self._end_bytes = int(new["begin"][-1]) + -(-int(new["length"][-1]) // ALIGN_BYTES) * ALIGN_BYTES
        self._taken = head
        return count

    def next_due(self) -> int | None:
        """When the next is to leave (ns)."""
        return self._pending.next_due()

    def release(self, until_ns: int, capture: Capture | None) -> int | None:
        """Let out what is due until then, RELEASE_MOST frames at most; returns how late the first was (ns)."""
        due, frames = self._pending.pop(until_ns, RELEASE_MOST)
        if not (count := len(frames)):
            return None
        places = frames & self._mask
        self._schedule[:count] = places
        self._state["next"] = 0
        while (done := int(self._state["next"])) < count and not self._live.run(count - done):
            pass
        left = self._frames[places]
        if capture is not None:
            times = left["released"].astype(np.int64) + (time_ns() - monotonic_ns())
            begins = left["begin"].astype(np.int64) % (len(self._memory) - _SLACK_BYTES)
            capture.write(times, left["length"].astype(np.int64), self._memory, begins, ALIGN_BYTES)
        oldest = self._pending.oldest()
        if oldest is None:
            self._state["tail"], self._state["tail_bytes"] = self._taken, self._end_bytes
        else:
            self._state["tail_bytes"] = self._frames["begin"][oldest & self._mask]
            self._state["tail"] = oldest
        self._measure(due, left)
        return int(left["released"][0]) - int(due[0])

    def counted(self) -> Counted:
        """What happened since the last orders."""
        figures = self._figures
        measured: dict[str, Any] = {}
        if figures.released:
            total = int(self._late.sum())
            worst_hundredth = int(np.searchsorted(np.cumsum(self._late), total * 0.99))
            measured["lateness_us_p99"] = float(worst_hundredth * _LATE_STEP_US)
            measured["lateness_us_most"] = figures.most_us
        if figures.in_turn:
            mean = figures.sum_us / figures.in_turn
            measured["delay_us"] = mean
            # an even distribution of half width w has the variance w * w / 3
            measured["jitter_us"] = (3 * max(figures.squares / figures.in_turn - mean * mean, 0.0)) ** 0.5
        if figures.last_ns > figures.first_ns:
            measured["rate_bps"] = figures.released_bytes * 8e9 / (figures.last_ns - figures.first_ns)
        return Counted(
            released=int(self._counts["released"]) + int(self._counts["passed"]),
            reordered=self._pending.overtaken,
            interface_dropped=self._interface_dropped() - self._dropped_before,
            **{ours: int(self._counts[theirs]) for ours, theirs in _COUNTS.items()},
            **measured,
        )

    def _measure(self, due: Any, left: Any) -> None:
        figures = self._figures
        released = left["released"].astype(np.int64)
        late_us = np.maximum(released - due, 0) // 1000
        np.add.at(self._late, np.minimum(late_us // _LATE_STEP_US, _LATE_STEPS - 1), 1)
        figures.most_us = max(figures.most_us, float(late_us.max()))
        if not figures.released:
            figures.first_ns = int(released[0])
        else:
            figures.released_bytes += int(left["length"][0])  # the first of all only starts the clock
        figures.released_bytes += int(left["length"][1:].sum(dtype=np.int64))
        figures.last_ns = int(released[-1])
        figures.released += len(released)
        in_turn = left["hold"] == 0
        delays_us = (released - left["ready"].astype(np.int64))[in_turn] / 1000
        figures.in_turn += len(delays_us)
        figures.sum_us += float(delays_us.sum())
        figures.squares += float((delays_us * delays_us).sum())

    def _interface_dropped(self) -> int:
        """Frames that found a veth's ring full, on their way in or out."""
        names = ((self._inward, "rx_dropped"), (self._outward, "tx_dropped"))
        return sum(int(Path(f"/sys/class/net/{name}/statistics/{which}").read_text()) for name, which in names)
