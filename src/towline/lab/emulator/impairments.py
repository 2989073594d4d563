# SPDX-License-Identifier: GPL-2.0-only
"""What a path is to do to frames, what it did, and whether that makes a run void."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from towline.errors import SettingsError

DIRECTIONS = ("forward", "backward")
LATE_SHARE = 0.02  # of the delay; later than this share and
LATE_US = 500.0  # this, in the worst hundredth: the emulator was too slow
_QUEUE_LEAST_FRAMES = 100
_FRAME_BYTES = 1514
_LONGEST_US = 2**32 / 1000 / 2  # jitter must stay below 2^32 ns, both sides of it


@dataclass(frozen=True, kw_only=True)
class Impairment:
    """What one direction does to frames. Shares are from 0 to 1.

    `rate_bps`: bits of whole frames (without preamble and checksum) a second; `queue_bytes` wait for it, None: see
    `Impairments.queue_bytes`. `jitter_us`: evenly distributed from delay - jitter to delay + jitter, and frames may
    overtake each other. `loss_burst`: mean number of frames lost in a row, 1: independent (Gilbert 1960, with all lost
    in the bad state). `corrupt`: of these 1 to 3 bits are flipped, anywhere in the frame. `duplicate`: the copy comes
    right behind. `reorder`: a frame is held back until 1 to 3 later ones have passed (2 ms at most, where none come).
    Raises SettingsError for what cannot be.
    """

    delay_us: float = 0.0
    jitter_us: float = 0.0
    rate_bps: float | None = None
    queue_bytes: int | None = None
    loss: float = 0.0
    loss_burst: float = 1.0
    corrupt: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0

    def __post_init__(self) -> None:
        for name in ("loss", "corrupt", "duplicate", "reorder"):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingsError(f"{name} is a share from 0 to 1, not {getattr(self, name):g}")
        if not 0 <= self.jitter_us <= min(self.delay_us, _LONGEST_US):
            raise SettingsError(
                f"a jitter of {self.jitter_us:g} us needs a delay of as much: it is {self.delay_us:g} us +- jitter"
            )
        if self.rate_bps is not None and not 1000 <= self.rate_bps <= 1e12:
            raise SettingsError(f"a rate is from 1 kbit/s to 1 Tbit/s, not {self.rate_bps:g} bit/s")
        if self.queue_bytes is not None and self.rate_bps is None:
            raise SettingsError("a queue needs a rate to wait for")
        if self.queue_bytes is not None and self.queue_bytes < 1:
            raise SettingsError(f"a queue has at least 1 byte, not {self.queue_bytes}")
        if self.loss_burst < 1 or self.loss < 1 < self._bad_from_good():
            raise SettingsError(f"bursts of {self.loss_burst:g} frames cannot lose a share of {self.loss:g}")

    def loss_chances(self) -> tuple[float, float]:
        """The chance to lose a frame: after one that was not lost, and after one that was."""
        if self.loss_burst == 1 or self.loss in (0, 1):
            return self.loss, self.loss
        return self._bad_from_good(), 1 - 1 / self.loss_burst

    def takes_time(self) -> bool:
        """Whether frames have to be kept: all but loss and corruption happen in passing."""
        return bool(self.delay_us or self.rate_bps is not None or self.duplicate or self.reorder)

    def _bad_from_good(self) -> float:
        # one burst of 1/r frames for every (1 - loss) / loss times as many that pass
        return 0.0 if self.loss_burst == 1 or self.loss == 1 else self.loss / self.loss_burst / (1 - self.loss)


@dataclass(frozen=True, kw_only=True)
class Impairments:
    """Both directions; the same seed and the same sequence of frames in a direction meet the same fate there."""

    forward: Impairment = field(default_factory=Impairment)
    backward: Impairment = field(default_factory=Impairment)
    seed: int = 0

    def of(self, direction: str) -> Impairment:
        """`forward` or `backward`."""
        return {"forward": self.forward, "backward": self.backward}[direction]

    def queue_bytes(self, direction: str) -> int | None:
        """What waits for the rate at most: as asked, else one round trip's worth, or 100 frames if those are more."""
        asked = self.of(direction)
        if asked.rate_bps is None or asked.queue_bytes is not None:
            return asked.queue_bytes
        round_trip_us = self.forward.delay_us + self.backward.delay_us
        return max(int(asked.rate_bps / 8 * round_trip_us / 1e6), _QUEUE_LEAST_FRAMES * _FRAME_BYTES)


@dataclass(frozen=True, kw_only=True)
class Counted:
    """What happened to one direction's frames. A figure that was not measured is None.

    `carried`: went past the queue, so met the chances of loss and all that follows; `released`: left, copies included;
    `reordered`: really overtaken. `flushed`: came between two settings. `rate_bps`: what left, from the first to the
    last. `delay_us`: mean from the end of the queue to the release, without frames held back; `jitter_us`: half the
    width of an even distribution with the same deviation. `lateness_us_p99`: of releases behind their due time.
    """

    captured: int = 0
    captured_bytes: int = 0
    carried: int = 0
    released: int = 0
    lost: int = 0
    corrupted: int = 0
    duplicated: int = 0
    reordered: int = 0
    queue_dropped: int = 0
    blackholed: int = 0
    flushed: int = 0
    too_long: int = 0
    no_room: int = 0
    interface_dropped: int = 0
    failed: int = 0
    delay_us: float | None = None
    jitter_us: float | None = None
    rate_bps: float | None = None
    lateness_us_p99: float | None = None
    lateness_us_most: float | None = None

    @property
    def unplanned_dropped(self) -> int:
        """Frames that the emulator lost without being asked to."""
        return self.too_long + self.no_room + self.interface_dropped + self.failed

    def share(self, count: int) -> float | None:
        """A count as a share of what was carried; None where nothing was."""
        return count / self.carried if self.carried else None


@dataclass(frozen=True, kw_only=True)
class Report:
    """What the emulator says when it is asked; `priority` says why its priority is not real-time, if it is not.

    `program`: the figures of its programs for both directions together, as fields of a record.
    """

    forward: Counted = field(default_factory=Counted)
    backward: Counted = field(default_factory=Counted)
    priority: str | None = None
    program: dict[str, int | float | None] = field(default_factory=dict)

    def of(self, direction: str) -> Counted:
        """`forward` or `backward`."""
        return {"forward": self.forward, "backward": self.backward}[direction]


def void_reason(asked: Impairments, report: Report) -> str | None:
    """Why a run under this emulator does not count: its own failures, never bad luck. None: it counts."""
    for direction in DIRECTIONS:
        counted = report.of(direction)
        if counted.unplanned_dropped:
            names = ("too_long", "no_room", "interface_dropped", "failed")
            causes = [f"{getattr(counted, name)} {name}" for name in names if getattr(counted, name)]
            return f"the emulator dropped frames on its own, {direction}: {', '.join(causes)}"
        limit_us = LATE_SHARE * asked.of(direction).delay_us + LATE_US
        if counted.lateness_us_p99 is not None and counted.lateness_us_p99 > limit_us:
            late = f"{counted.lateness_us_p99:.0f} us late at the 99th percentile, more than {limit_us:.0f}"
            return f"the emulator released frames {late}, {direction}"
    return None


def record_fields(asked: Impairments) -> dict[str, Any]:
    """What was asked for, as fields of a record: microseconds, bit/s, bytes, shares."""
    fields: dict[str, Any] = {}
    for direction in DIRECTIONS:
        one = asked.of(direction)
        values = {
            "delay": one.delay_us,
            "jitter": one.jitter_us,
            "rate": one.rate_bps,
            "queue": asked.queue_bytes(direction),
            "loss": one.loss,
            "loss_burst": one.loss_burst if one.loss else None,
            "corruption": one.corrupt,
            "duplication": one.duplicate,
            "reordering": one.reorder,
        }
        fields |= {f"{name}_{direction}": value for name, value in values.items()}
    return fields


def measured_fields(report: Report) -> dict[str, Any]:
    """What happened, as fields of a record."""
    fields: dict[str, Any] = {}
    for direction in DIRECTIONS:
        one = report.of(direction)
        values = {
            "delay": one.delay_us,
            "jitter": one.jitter_us,
            "rate": one.rate_bps,
            "loss": one.share(one.lost),
            "corruption": one.share(one.corrupted),
            "duplication": one.share(one.duplicated),
            "reordering": one.share(one.reordered),
        }
        fields |= {f"measured_{name}_{direction}": value for name, value in values.items()}
        fields |= {f"captured_{direction}": one.captured, f"carried_{direction}": one.carried}
    return fields


def encode(asked: Impairments) -> str:
    """As JSON, for the emulator's command line and its standard input."""
    return msgspec.json.encode(asked).decode()


def decode(text: str | bytes) -> Impairments:
    """What `encode` wrote; raises SettingsError."""
    try:
        return msgspec.json.decode(text, type=Impairments)
    except msgspec.ValidationError as error:
        raise SettingsError(f"impairments: {error}") from None
