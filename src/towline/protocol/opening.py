# SPDX-License-Identifier: GPL-2.0-only
"""HELLO to ACCEPT: both sides of the handshake, one session per lane."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, replace

from towline.errors import MalformedError, PeerError, SettingsError
from towline.settings import LANES_MOST, WINDOW_LEAST, largest_block_bytes
from towline.wire import DELIVERIES, HELLO_MAGIC, INDEX_MASK, Kind, Message, reason_bytes, reason_untrusted

HELLO_FIRST_US = 50_000
HELLO_MOST_US = 1_000_000
NEAR_US = 5_000  # a round trip within a LAN, with a process at each end
COOKIE_BYTES = 16
_STAMP_BYTES = 4
COOKIE_EPOCH_US = 30_000_000  # a cookie is good for one to two of these
ACK_PER_WINDOW = 4  # an ACK is due every quarter of the window at the latest


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What a sender asks for; the same for all lanes of a transfer."""

    transfer: int
    lanes: int
    payload_size: int
    ack_every: int
    window: int
    address: bytes
    by_socket: bool = False  # no program in the driver hears the acknowledgements

    def hello(self, lane: int, cookie: bytes = bytes(COOKIE_BYTES), *, now: int) -> Message:
        """The HELLO of one lane; RETRY and ACCEPT echo when it was said."""
        return Message(
            kind=Kind.HELLO,
            timestamp=stamp(now),
            fields={
                "magic": HELLO_MAGIC,
                "transfer": self.transfer,
                "lane": lane,
                "lanes": self.lanes,
                "payload_size": self.payload_size,
                "ack_every": self.ack_every,
                "window": self.window,
                "address": self.address,
                "by_socket": self.by_socket,
                "cookie": cookie,
            },
        )


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a receiver grants; fixed for the whole transfer."""

    payload_size: int
    ack_every: int
    window: int
    block_bytes: int
    delivery: str


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """One lane's ACCEPT as the sender has it."""

    session: int
    first_index: int
    terms: Terms


def stamp(now: int) -> int:
    """A time as headers carry it: 32 bits of microseconds, and never 0, which means none."""
    return now & INDEX_MASK or 1


def _round_trip_us(message: Message, now: int) -> int:
    return max((stamp(now) - message.timestamp) & INDEX_MASK, 1)


class Caller:
    """The sender's side: say HELLO for each lane until each has its ACCEPT."""

    def __init__(self, offer: Offer, now: int, *, near_window: int | None = None) -> None:
        """`near_window`: asked for instead of the offer's where the first answer comes back within NEAR_US."""
        self.accepted: dict[int, Accepted] = {}
        self.rtt_us = HELLO_FIRST_US
        self._offer = offer
        self._near_window = near_window
        self._cookies = [bytes(COOKIE_BYTES)] * offer.lanes
        self._interval_us = [HELLO_FIRST_US] * offer.lanes
        self._due_us = [now] * offer.lanes

    @property
    def done(self) -> bool:
        """Every lane has its session."""
        return len(self.accepted) == self._offer.lanes

    def next(self, now: int) -> list[Message]:
        """The HELLOs that are due."""
        due = [lane for lane in self._waiting() if now >= self._due_us[lane]]
        for lane in due:
            self._due_us[lane] = now + self._interval_us[lane]
            self._interval_us[lane] = min(2 * self._interval_us[lane], HELLO_MOST_US)
        return [self._offer.hello(lane, self._cookies[lane], now=now) for lane in due]

    def next_wakeup(self) -> int:
        """When `next` has something to say again."""
        return min((self._due_us[lane] for lane in self._waiting()), default=max(self._due_us))

    def heard(self, message: Message, now: int) -> None:
        """RETRY, ACCEPT or REJECT; anything else, or of another transfer, is not for us. Raises PeerError on REJECT."""
        if message.fields.get("transfer") != self._offer.transfer:
            return
        lane = message.fields.get("lane", 0)
        if lane >= self._offer.lanes:
            return
        match message.kind:
            case Kind.REJECT:
                raise PeerError("rejected the transfer", reason_untrusted(message.fields["reason"]))
            case Kind.RETRY if lane not in self.accepted and self._cookies[lane] != message.fields["cookie"]:
                self._cookies[lane] = message.fields["cookie"]
                self._due_us[lane] = now
                self._choose_window(message, now)
            case Kind.ACCEPT if lane not in self.accepted:
                self.accepted[lane] = self._accepted(message)
                if message.timestamp:
                    self.rtt_us = _round_trip_us(message, now)

    def _choose_window(self, message: Message, now: int) -> None:
        """Once, so that all lanes ask for the same."""
        if self._near_window is not None and message.timestamp and _round_trip_us(message, now) < NEAR_US:
            self._offer = replace(self._offer, window=self._near_window)
        self._near_window = None

    def _waiting(self) -> list[int]:
        return [lane for lane in range(self._offer.lanes) if lane not in self.accepted]

    def _accepted(self, message: Message) -> Accepted:
        fields = message.fields
        terms = Terms(
            payload_size=fields["payload_size"],
            ack_every=fields["ack_every"],
            window=fields["window"],
            block_bytes=fields["block_bytes"],
            delivery=DELIVERIES[fields["delivery"] % len(DELIVERIES)],
        )
        offer = self._offer
        if (
            not message.session
            or terms.payload_size != offer.payload_size
            or not WINDOW_LEAST <= terms.window <= offer.window
            or terms.window & (terms.window - 1)
            or not 1 <= terms.ack_every <= offer.ack_every
            or not 1 <= terms.block_bytes <= largest_block_bytes(terms.window, terms.payload_size)
            or any(accepted.terms != terms for accepted in self.accepted.values())
        ):
            raise PeerError("accepted terms that were never offered")
        return Accepted(session=message.session, first_index=message.index, terms=terms)


class Door:
    """The receiver's side: no state for a sender before it has shown that it receives at its address."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)

    def retry(self, hello: Message, address: bytes, now: int) -> Message | None:
        """The RETRY for a HELLO without its cookie; None where the cookie is right. Raises MalformedError."""
        fields = hello.fields
        if fields["magic"] != HELLO_MAGIC:
            raise MalformedError("a HELLO of another version")
        if not 1 <= fields["lanes"] <= LANES_MOST or fields["lane"] >= fields["lanes"]:
            raise MalformedError("a HELLO for an impossible lane")
        epoch, said = now // COOKIE_EPOCH_US, fields["cookie"][:_STAMP_BYTES]
        for when in (epoch, epoch - 1):
            if hmac.compare_digest(fields["cookie"], self._cookie(hello, address, when, said)):
                return None
        cookie = self._cookie(hello, address, epoch, stamp(now).to_bytes(_STAMP_BYTES))
        return Message(
            kind=Kind.RETRY,
            timestamp=hello.timestamp,
            fields={"transfer": fields["transfer"], "lane": fields["lane"], "cookie": cookie},
        )

    def _cookie(self, hello: Message, address: bytes, epoch: int, said: bytes) -> bytes:
        """When it was said, and a code that only we can make."""
        text = f"{hello.fields['transfer']}/{hello.fields['lane']}/{epoch}/".encode() + said + address
        return said + hashlib.blake2s(text, key=self._secret, digest_size=COOKIE_BYTES - _STAMP_BYTES).digest()


def handshake_rtt_us(hello: Message, now: int) -> int:
    """From RETRY to the HELLO that came with its cookie, which was found right: a round trip and a process."""
    return max(stamp(now) - int.from_bytes(hello.fields["cookie"][:_STAMP_BYTES]) & INDEX_MASK, 1)


def agree(hello: Message, *, largest_payload: int, window: int, block_bytes: int, delivery: str) -> Terms:
    """The terms for a HELLO. Raises SettingsError with the reason for a REJECT."""
    fields = hello.fields
    payload_size = fields["payload_size"]
    if not 1 <= payload_size <= largest_payload:
        raise SettingsError(f"a payload of {payload_size} bytes does not fit here: at most {largest_payload}")
    if not fields["window"] or fields["window"] & (fields["window"] - 1) or not fields["ack_every"]:
        raise SettingsError("a window that is no power of two, or no packet per acknowledgement")
    if fields["window"] < WINDOW_LEAST:
        raise SettingsError(f"a window of {fields['window']} packets: at least {WINDOW_LEAST}")
    granted = min(window, fields["window"])
    return Terms(
        payload_size=payload_size,
        ack_every=min(fields["ack_every"], granted // ACK_PER_WINDOW),
        window=granted,
        block_bytes=min(block_bytes, largest_block_bytes(granted, payload_size)),
        delivery=delivery,
    )


def accept(hello: Message, session: int, first_index: int, terms: Terms) -> Message:
    """The ACCEPT of one lane."""
    return Message(
        kind=Kind.ACCEPT,
        session=session,
        index=first_index,
        timestamp=hello.timestamp,
        fields={
            "transfer": hello.fields["transfer"],
            "lane": hello.fields["lane"],
            "delivery": DELIVERIES.index(terms.delivery),
            "payload_size": terms.payload_size,
            "ack_every": terms.ack_every,
            "window": terms.window,
            "block_bytes": terms.block_bytes,
        },
    )


def reject(hello: Message, reason: str) -> Message:
    """The REJECT of a HELLO."""
    return Message(kind=Kind.REJECT, fields={"transfer": hello.fields["transfer"], "reason": reason_bytes(reason)})
