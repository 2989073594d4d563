# SPDX-License-Identifier: GPL-2.0-only
"""Which cells leave the emulator enough room: above 70 % of what it passes here, a run would measure the emulator.

That is judged where it keeps frames: a process of its own lets them out, and may be late. What it does in passing
(loss, corruption) it does as a part of sending the frame, on the sender's processor. It cannot be late, it makes the
sender slower like any other cost, and whoever sends may go as fast as that lets him: there the ceiling is told, and
what share of it the runs reached (the report's conditions). The one queue there, the interface's ring of 256 frames,
can overflow when the kernel puts that work off for a moment: 7 of 71 runs at 12 to 23 Gbit/s lost 30 to 430 of 2
million frames so. These are counted, and such a run is void (impairments.void_reason, run.OVERRUN_SHARE).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from towline.lab.emulator.ceiling import CEILING_SHARE
from towline.lab.emulator.impairments import Impairment, Impairments
from towline.lab.plans.plan import Cell
from towline.lab.run import Run, impairments_of, level_of, mtu_for
from towline.lab.sweep.warm_up import payload_bytes
from towline.settings import Settings
from towline.transmit.flow import packet_bytes

Measure = Callable[[Impairments, int, int], float]  # impairments, MTU, bytes of a frame -> Gbit/s of frames
Kind = tuple[object, ...]


class Headroom:
    """Ceilings by the work that a frame is to the emulator, each measured once with the cell that asks most of it."""

    def __init__(self, cells: Sequence[Cell], measure: Measure) -> None:
        self._measure = measure
        self._ceilings: dict[Kind, float] = {}
        self._harshest: dict[Kind, Cell] = {}
        for cell in cells:
            other = self._harshest.setdefault(_kind(cell), cell)
            self._harshest[_kind(cell)] = max(other, cell, key=lambda one: sum(one.settings.delay))

    def kinds(self) -> list[Cell]:
        """One cell for each ceiling that there is to measure."""
        return list(self._harshest.values())

    def ceiling_gbps(self, cell: Cell) -> float:
        """What the emulator passes of a cell's frames; measured the first time."""
        kind = _kind(cell)
        if kind not in self._ceilings:
            harshest = self._harshest[kind].settings
            self._ceilings[kind] = self._measure(_impairments(harshest), mtu_for(harshest), frame_bytes(harshest))
        return self._ceilings[kind]

    def lowest_gbps(self) -> float | None:
        """Of the ceilings measured so far."""
        return min(self._ceilings.values(), default=None)

    def asked_too_much(self, cell: Cell) -> str | None:
        """Why a cell with a rate or a pace is not run; None: it may be, or its warm-up has to show it."""
        asked = [one for one in (cell.settings.pace, cell.settings.rate[0]) if one is not None]
        return self._refusal(cell, min(asked) / 1e9, "its rate") if asked else None

    def reached_too_much(self, cell: Cell, record: Mapping[str, Any]) -> str | None:
        """The same of a cell that is bounded by nothing, from the record of its warm-up run."""
        if cell.settings.pace is not None or cell.settings.rate[0] is not None or not record["seconds"]:
            return None
        return self._refusal(cell, reached_gbps(cell, record), "what its warm-up run reached")

    def _refusal(self, cell: Cell, gbps: float, what: str) -> str | None:
        if not keeps_frames(cell):
            return None
        ceiling = self.ceiling_gbps(cell)
        if gbps <= CEILING_SHARE * ceiling:
            return None
        return (
            f"{what}, {gbps:.2f} Gbit/s, is above {CEILING_SHARE:.0%} of what the emulator passes here, "
            f"{ceiling:.2f} Gbit/s of such frames: give it a pace below {CEILING_SHARE * ceiling:.2f} Gbit/s"
        )


def keeps_frames(cell: Cell) -> bool:
    """Whether the emulator may be late for a cell's frames, in one direction at least."""
    return any(one.takes_time() for one in _ways(_impairments(cell.settings)))


def reached_gbps(cell: Cell, record: Mapping[str, Any]) -> float:
    """Of DATA frames, copies and repetitions included; the record is that of a run that took `seconds`."""
    return float(record["packets_sent"] * frame_bytes(cell.settings) * 8 / record["seconds"] / 1e9)


def frame_bytes(settings: Settings) -> int:
    """Of a full DATA frame, as pace and rate count it."""
    return level_of(settings).frame_bytes + packet_bytes(payload_bytes(settings))


def _kind(cell: Cell) -> Kind:
    """What makes a frame more or less work. Its compiler's flags do not count: most of it is its process's."""
    both = _impairments(cell.settings)
    work = [(one.takes_time(), one.jitter_us > 0, one.duplicate > 0, one.reorder > 0) for one in _ways(both)]
    return (*work, mtu_for(cell.settings), frame_bytes(cell.settings))


def _impairments(settings: Settings) -> Impairments:
    return impairments_of(Run(source=1, settings=settings)) or Impairments()


def _ways(both: Impairments) -> tuple[Impairment, Impairment]:
    return both.forward, both.backward
