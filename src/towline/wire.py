# SPDX-License-Identifier: GPL-2.0-only
"""Every byte of the header and the messages, as bpf/wire.h has them; a test holds the two against each other.

The socket datapath runs without a compiler, so this mirror is written out and not read from an object's BTF.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from towline.errors import MalformedError

MAGIC = 0xBE
HELLO_MAGIC = b"towline1"
HEADER_BYTES = 24
DATA_LEAST_BYTES = 80
REASON_MOST_BYTES = 160
TRAILER_BYTES = 24
INDEX_BITS = 32
MIX_FACTOR = 0xD6E8FEB86659FD93  # of check.h
FEW_BODIES = 8
INDEX_MASK = (1 << INDEX_BITS) - 1


class Kind(enum.IntEnum):
    """What a packet is; enum kind of wire.h."""

    HELLO = 1
    RETRY = 2
    ACCEPT = 3
    REJECT = 4
    DATA = 5
    ACK = 6
    NACK = 7
    FIN = 8
    DONE = 9
    CLOSE = 10
    ABORT = 11


class Flag(enum.IntFlag):
    """enum flag of wire.h."""

    NONE = 0
    FLUSH = 1
    CHECKSUM = 2
    AGAIN = 4
    FULL = 8


def _layout(*fields: tuple[Any, ...]) -> np.dtype[Any]:
    return np.dtype(list(fields))


HEADER = _layout(
    ("magic", "u1"),
    ("kind_flags", "u1"),
    ("length", ">u2"),
    ("session_high", ">u4"),
    ("session_low", ">u4"),
    ("index", ">u4"),
    ("timestamp", ">u4"),
    ("check", ">u4"),
)
ACK = _layout(("limit", ">u4"), ("highest", ">u4"), ("first", ">u4"), ("useless", ">u4"))
RANGE = _layout(("first", ">u4"), ("count", ">u4"))
HELLO = _layout(
    ("magic", "u1", 8),
    ("transfer_high", ">u4"),
    ("transfer_low", ">u4"),
    ("lane", ">u2"),
    ("lanes", ">u2"),
    ("payload_size", ">u4"),
    ("ack_every", ">u4"),
    ("window", ">u4"),
    ("address", "u1", 6),
    ("by_socket", "u1"),
    ("unused", "u1"),
    ("cookie", "u1", 16),
    ("padding", "u1", 136),
)
RETRY = _layout(
    ("transfer_high", ">u4"), ("transfer_low", ">u4"), ("lane", ">u2"), ("unused", ">u2"), ("cookie", "u1", 16)
)
ACCEPT = _layout(
    ("transfer_high", ">u4"),
    ("transfer_low", ">u4"),
    ("lane", ">u2"),
    ("delivery", "u1"),
    ("unused", "u1"),
    ("payload_size", ">u4"),
    ("ack_every", ">u4"),
    ("window", ">u4"),
    ("block_bytes", ">u4"),
)
REJECT = _layout(("transfer_high", ">u4"), ("transfer_low", ">u4"), ("reason", "u1", REASON_MOST_BYTES))
ABORT = _layout(("reason", "u1", REASON_MOST_BYTES))
FIN = _layout(
    ("packets_high", ">u4"), ("packets_low", ">u4"), ("stream_bytes_high", ">u4"), ("stream_bytes_low", ">u4")
)
DONE = _layout(("stream_bytes_high", ">u4"), ("stream_bytes_low", ">u4"), ("digest", "u1", 16))
TRAILER = _layout(("number_high", ">u4"), ("number_low", ">u4"), ("digest", "u1", 16))

# The body that a kind must have at least; DATA's is payload, NACK's a list of RANGE, CLOSE has none.
BODIES = {
    Kind.HELLO: HELLO,
    Kind.RETRY: RETRY,
    Kind.ACCEPT: ACCEPT,
    Kind.REJECT: REJECT,
    Kind.ACK: ACK,
    Kind.FIN: FIN,
    Kind.DONE: DONE,
    Kind.ABORT: ABORT,
}

DELIVERIES = ("direct", "ring")  # enum delivery of state.h


@dataclass(frozen=True, kw_only=True)
class Message:
    """One packet without its frame. `fields` are the body's, joined (`transfer_high`, `_low` -> `transfer`)."""

    kind: Kind
    flags: Flag = Flag.NONE
    session: int = 0
    index: int = 0
    timestamp: int = 0
    fields: dict[str, Any] = field(default_factory=dict)
    tail: bytes = b""  # what follows the fixed body: bitmap words, ranges, payload


def encode(message: Message) -> bytes:
    """Header and body of a message, its check filled in (over the body for every kind but unchecked DATA)."""
    layout = BODIES.get(message.kind)
    body = (_pack(layout, message.fields) if layout is not None else b"") + message.tail
    head = np.zeros(1, HEADER)
    head["magic"] = MAGIC
    head["kind_flags"] = message.kind << 4 | message.flags
    head["length"] = len(body)
    head["session_high"] = message.session >> 32
    head["session_low"] = message.session & 0xFFFFFFFF
    head["index"] = message.index & INDEX_MASK
    head["timestamp"] = message.timestamp
    head["check"] = header_check(head, _covered(message.kind, message.flags, body))
    return head.tobytes() + body


def decode_untrusted(packet: bytes) -> Message:
    """The message in bytes from the wire. Raises MalformedError, whatever the bytes are."""
    if len(packet) < HEADER_BYTES or packet[0] != MAGIC:
        raise MalformedError("no header of ours")
    head = np.frombuffer(packet, HEADER, 1)
    length = int(head["length"][0])
    body = packet[HEADER_BYTES : HEADER_BYTES + length]
    if len(body) < length:
        raise MalformedError("shorter than its header says")
    try:
        kind = Kind(packet[1] >> 4)
    except ValueError:
        raise MalformedError(f"kind {packet[1] >> 4}") from None
    flags = Flag(packet[1] & 0xF)
    if int(head["check"][0]) != int(header_check(head, _covered(kind, flags, body))[0]):
        raise MalformedError("its check is wrong")
    layout = BODIES.get(kind)
    size = layout.itemsize if layout is not None else 0
    if length < size:
        raise MalformedError(f"{kind.name} of {length} bytes")
    return Message(
        kind=kind,
        flags=flags,
        session=int(head["session_high"][0]) << 32 | int(head["session_low"][0]),
        index=int(head["index"][0]),
        timestamp=int(head["timestamp"][0]),
        fields=_unpack(layout, body) if layout is not None else {},
        tail=body[size:],
    )


def header_check(heads: NDArray[Any], sums: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The check of n headers (dtype HEADER, shape (n,)); `sums` stand for their bodies: `payload_sums` for DATA with
    CHECKSUM, 0 for DATA without, `body_mix` for every other kind.

    The same mixing as bpf/check.h, which names its source.
    """
    wide = {name: heads[name].astype(np.uint64) for name in HEADER.names or () if name != "check"}
    first = wide["magic"] << 56 | wide["kind_flags"] << 48 | wide["length"] << 32 | wide["session_high"]
    second = wide["session_low"] << 32 | wide["index"]
    third = wide["timestamp"] << 32 | sums
    mixed = _folded(np.multiply(first, np.uint64(0x9E3779B97F4A7C15)), 32)
    mixed = _folded(np.multiply(mixed ^ second, np.uint64(0xBF58476D1CE4E5B9)), 29)
    mixed = _folded(np.multiply(mixed ^ third, np.uint64(0x94D049BB133111EB)), 32)
    return mixed & np.uint64(0xFFFFFFFF)


def _folded(words: NDArray[np.uint64], bits: int) -> NDArray[np.uint64]:
    return np.asarray(np.bitwise_xor(words, np.right_shift(words, np.uint64(bits))), np.uint64)


def payload_sums(payloads: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """RFC 1071 sums (not inverted) of n payloads of one length, padded with a zero: shape (n, bytes) -> (n,)."""
    n, size = payloads.shape
    whole = payloads
    if size % 4:
        whole = np.zeros((n, -(-size // 4) * 4), np.uint8)
        whole[:, :size] = payloads
    # Wide words in this machine's order, and swapped at the end: RFC 1071, section 2 (B) and (C).
    total = np.asarray(whole.view("<u4").sum(axis=1, dtype=np.uint64), np.uint64)
    folded = (total - np.uint64(1)) % np.uint64(0xFFFF) + np.uint64(1)
    swapped = (folded & np.uint64(0xFF)) << np.uint64(8) | folded >> np.uint64(8)
    return np.asarray(np.where(total == 0, total, swapped), np.uint64)


def body_mix(bodies: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """32 bits that stand for the body in the check of every kind but DATA: n bodies of one length, (n, bytes) -> (n,).

    Their 64-bit words, zeros behind the last, mixed one after the other as bpf/check.h does.
    """
    n, size = bodies.shape
    whole = np.zeros((n, -(-size // 8) * 8), np.uint8)
    whole[:, :size] = bodies
    words = whole.view(">u8")
    if n <= FEW_BODIES:  # some ten times faster, and the usual case
        return np.array([_mix_one(row) for row in words.tolist()], np.uint64)
    mixed = np.zeros(n, np.uint64)
    for word in words.T:
        mixed = _folded(np.multiply(mixed ^ word.astype(np.uint64), np.uint64(MIX_FACTOR)), 32)
    return mixed & np.uint64(0xFFFFFFFF)


def _mix_one(words: list[int]) -> int:
    mixed = 0
    for word in words:
        mixed = (mixed ^ word) * MIX_FACTOR & 0xFFFFFFFFFFFFFFFF
        mixed ^= mixed >> 32
    return mixed & 0xFFFFFFFF


def _covered(kind: Kind, flags: Flag, body: bytes) -> NDArray[np.uint64]:
    bodies = np.frombuffer(body, np.uint8).reshape(1, -1)
    if kind != Kind.DATA:
        return body_mix(bodies)
    return payload_sums(bodies) if flags & Flag.CHECKSUM else np.zeros(1, np.uint64)


def _pack(layout: np.dtype[Any], fields: dict[str, Any]) -> bytes:
    packed = np.zeros(1, layout)
    for name, value in fields.items():
        if f"{name}_high" in (layout.names or ()):
            packed[f"{name}_high"], packed[f"{name}_low"] = value >> 32, value & 0xFFFFFFFF
        elif isinstance(value, bytes):
            packed[name][0, : len(value)] = np.frombuffer(value, np.uint8)
        else:
            packed[name] = value
    return packed.tobytes()


def _unpack(layout: np.dtype[Any], body: bytes) -> dict[str, Any]:
    packed = np.frombuffer(body, layout, 1)[0]
    fields: dict[str, Any] = {}
    for name in layout.names or ():
        if name.endswith("_high"):
            stem = name.removesuffix("_high")
            fields[stem] = int(packed[name]) << 32 | int(packed[f"{stem}_low"])
        elif not name.endswith("_low"):
            value = packed[name]
            fields[name] = value.tobytes() if isinstance(value, np.ndarray) else int(value)
    return fields


def reason_bytes(text: str) -> bytes:
    """A reason as REJECT and ABORT carry it."""
    return text.encode()[:REASON_MOST_BYTES].decode(errors="ignore").encode()


def reason_untrusted(raw: bytes) -> str:
    """A peer's reason, fit to be printed on one line."""
    text = raw.rstrip(b"\0").decode(errors="replace")
    return "".join(c if c.isprintable() else "?" for c in text)
