# SPDX-License-Identifier: GPL-2.0-only
"""Watch a source file: what is saved is put in place at once, and what that did to the rate is measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from towline.errors import EndedError, TowlineError
from towline.running.rates import Meter
from towline.running.swap import Swapped, Swapper


@dataclass(frozen=True, kw_only=True)
class Refused:
    """Nothing was changed: what was saved does not work, and the next save may do better."""

    error: str


@dataclass(frozen=True, kw_only=True)
class Displaced:
    """What ran runs no more: the process that holds it has taken back what stopped its transfer, or somebody else has
    swapped. Both are versions.
    """

    version: int
    instead_of: int


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a swap did to the payload rate of all sessions together, in 1e9 bits a second; None: too short to say."""

    swapped: Swapped
    gbps_before: float | None
    gbps_after: float | None


Event = Swapped | Refused | Displaced | Measured


class Watch:
    """`look` often: it swaps at once when the file was saved, and tells `listen_s` later what that did."""

    def __init__(
        self,
        swapper: Swapper,
        file: Path,
        *,
        flags: Sequence[str] = (),
        listen_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock`: seconds. Raises EndedError."""
        self._swapper, self._file, self._flags = swapper, file, flags
        self._listen_s, self._clock = listen_s, clock
        self._meter = Meter(listen_s)
        self._began = clock()
        self._saved: int | None = None
        self._version = swapper.running_version
        self._listening: tuple[Swapped, float | None, float] | None = None  # the rate before, and since when

    def look(self) -> Iterator[Event]:
        """What happens, as it happens. Raises EndedError."""
        now = self._clock()
        self._meter.look(self._swapper.sessions(), now)
        if (version := self._swapper.running_version) != self._version:
            before, self._version, self._listening = self._version, version, None
            yield Displaced(version=version, instead_of=before)
        if self._listening and now - self._listening[2] >= self._listen_s:
            yield self._measured()
        with suppress(FileNotFoundError):  # an editor may save by a new file in the place of the old one
            saved = self._file.stat().st_mtime_ns
            # What stands in the file in the beginning nobody waits for, so there is time to learn the rate before.
            if saved != self._saved and (self._saved is not None or now - self._began >= self._listen_s):
                self._saved = saved
                yield from self._swap()

    def _swap(self) -> Iterator[Event]:
        if self._listening:
            yield self._measured()
        before = self._meter.gbps
        try:
            swapped = self._swapper.swap(self._file, flags=self._flags)
        except EndedError:
            raise
        except TowlineError as error:
            yield Refused(error=str(error))
            return
        now = self._clock()
        self._meter.look(self._swapper.sessions(), now)
        self._meter.restart()
        self._version, self._listening = swapped.version, (swapped, before, now)
        yield swapped

    def _measured(self) -> Measured:
        """The end of listening."""
        assert self._listening is not None
        (swapped, before, _), self._listening = self._listening, None
        return Measured(swapped=swapped, gbps_before=before, gbps_after=self._meter.gbps)
