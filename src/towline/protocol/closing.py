# SPDX-License-Identifier: GPL-2.0-only
"""FIN to CLOSE, and giving up: how a transfer ends, well or not."""

from __future__ import annotations

from towline.errors import PeerError, StalledError
from towline.protocol.loss import RoundTrip
from towline.wire import Kind, Message, reason_bytes

FIN_LEAST_US = 10_000
FIN_MOST_US = 250_000
CLOSES = 3  # nobody answers a CLOSE; a receiver that misses all of them waits out its silence


class Farewell:
    """One lane of the sender: FIN follows the last DATA at once and is repeated until DONE."""

    def __init__(self, session: int) -> None:
        self._session = session
        self._due_us: int | None = None

    def fin(self, *, packets: int, stream_bytes: int, rtt: RoundTrip, now: int) -> Message | None:
        """The FIN, where it is due."""
        if self._due_us is not None and now < self._due_us:
            return None
        self._due_us = now + min(max(2 * rtt.smoothed_us, FIN_LEAST_US), FIN_MOST_US)
        return Message(kind=Kind.FIN, session=self._session, fields={"packets": packets, "stream_bytes": stream_bytes})


def done(session: int, stream_bytes: int, digest: bytes) -> Message:
    """All of the stream is verified and stored."""
    return Message(kind=Kind.DONE, session=session, fields={"stream_bytes": stream_bytes, "digest": digest})


def close(session: int) -> Message:
    """DONE has been seen."""
    return Message(kind=Kind.CLOSE, session=session)


def abort(session: int, reason: str) -> Message:
    """It ends here."""
    return Message(kind=Kind.ABORT, session=session, fields={"reason": reason_bytes(reason)})


class Liveness:
    """Notices a peer that is silent, and one that answers while nothing moves."""

    def __init__(self, *, timeout_us: int, stalled_us: int, now: int) -> None:
        self._timeout_us = timeout_us
        self._stalled_us = stalled_us
        self._heard_us = self._moved_us = now
        self._mark: object = None

    def heard(self, now: int) -> None:
        """A valid message has come."""
        self._heard_us = now

    def at(self, mark: object, now: int) -> None:
        """Where the transfer stands; anything that differs from the last time is progress."""
        if mark != self._mark:
            self._mark = mark
            self._moved_us = self._heard_us = now

    def check(self, now: int, progress: str) -> None:
        """Raises PeerError or StalledError when it has lasted too long."""
        if now - self._heard_us > self._timeout_us:
            raise PeerError("died", f"silent for {self._timeout_us / 1e6:g} s", progress)
        if now - self._moved_us > self._stalled_us:
            raise StalledError(self._stalled_us / 1e6, progress)

    def silent_us(self, now: int) -> int:
        """How long nothing has come."""
        return now - self._heard_us
