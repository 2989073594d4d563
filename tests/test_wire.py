# SPDX-License-Identifier: GPL-2.0-only
"""Messages to bytes and back, bytes that are none, and wire.py held against wire.h."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import towline.bpf
from towline import wire
from towline.errors import MalformedError
from towline.kernel.clang import compile_program
from towline.kernel.program import Object
from towline.wire import (
    BODIES,
    HEADER,
    HEADER_BYTES,
    HELLO_MAGIC,
    REASON_MOST_BYTES,
    Flag,
    Kind,
    Message,
    body_mix,
    decode_untrusted,
    encode,
    header_check,
    payload_sums,
    reason_bytes,
    reason_untrusted,
)

u16, u32, u64 = (st.integers(0, (1 << bits) - 1) for bits in (16, 32, 64))


def values_of(layout: np.dtype[Any]) -> dict[str, st.SearchStrategy[Any]]:
    """A strategy for each field of a body, `_high` and `_low` joined."""
    names = layout.names or ()
    fields: dict[str, st.SearchStrategy[Any]] = {}
    for name in names:
        kind = layout[name]
        if name.endswith("_high"):
            fields[name.removesuffix("_high")] = u64
        elif kind.subdtype is not None:
            fields[name] = st.binary(min_size=kind.itemsize, max_size=kind.itemsize)
        elif not name.endswith("_low"):
            fields[name] = st.integers(0, (1 << 8 * kind.itemsize) - 1)
    return fields


@st.composite
def messages(draw: st.DrawFn) -> Message:
    kind = draw(st.sampled_from(Kind))
    layout = BODIES.get(kind)
    return Message(
        kind=kind,
        flags=Flag(draw(st.integers(0, 15))),
        session=draw(u64),
        index=draw(u32),
        timestamp=draw(u32),
        fields=draw(st.fixed_dictionaries(values_of(layout))) if layout is not None else {},
        tail=draw(st.binary(max_size=200)),
    )


def example(number: int, kind: Kind) -> Message:
    fields: dict[Kind, dict[str, Any]] = {
        Kind.HELLO: {"magic": HELLO_MAGIC, "transfer": 7, "window": 64},
        Kind.ACK: {"limit": 64, "highest": 9},
        Kind.FIN: {"packets": 5, "stream_bytes": 1 << 33},
        Kind.ABORT: {"reason": b"because"},
    }
    return Message(
        kind=kind,
        flags=Flag(number % 16),
        session=0x0123456789ABCDEF ^ number,
        index=(1 << 32) - number - 1,
        timestamp=12345,
        fields=decode_untrusted(encode(Message(kind=kind, fields=fields.get(kind, {})))).fields,
        tail=Random(number).randbytes(33) if kind in (Kind.DATA, Kind.ACK, Kind.NACK) else b"",
    )


EXAMPLES = [example(number, kind) for number, kind in enumerate(Kind)]
BY_KIND = pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: message.kind.name)


@given(messages())
def test_encode__decode_gives_it_back(message: Message) -> None:
    assert decode_untrusted(encode(message)) == message


@given(messages(), st.binary(max_size=100))
def test_decode__what_follows_the_message_is_padding(message: Message, padding: bytes) -> None:
    assert decode_untrusted(encode(message) + padding) == message


@given(st.binary(max_size=300))
def test_decode__any_bytes_raise_one_error(packet: bytes) -> None:
    with pytest.raises(MalformedError):
        decode_untrusted(packet)


@given(st.binary(min_size=23, max_size=300), st.integers(0, 255))
def test_decode__any_bytes_behind_our_magic_raise_one_error(packet: bytes, kind_flags: int) -> None:
    with pytest.raises(MalformedError):
        decode_untrusted(bytes([wire.MAGIC, kind_flags]) + packet)


@BY_KIND
def test_decode__every_truncation_is_malformed(message: Message) -> None:
    packet = encode(message)
    for length in range(len(packet)):
        with pytest.raises(MalformedError):
            decode_untrusted(packet[:length])


@BY_KIND
def test_decode__every_turned_bit_is_malformed(message: Message) -> None:
    packet = encode(message)
    covered = HEADER_BYTES if message.kind == Kind.DATA and not message.flags & Flag.CHECKSUM else len(packet)
    for bit in range(8 * len(packet)):
        turned = bytearray(packet)
        turned[bit // 8] ^= 1 << bit % 8
        if bit < 8 * covered:
            with pytest.raises(MalformedError):
                decode_untrusted(bytes(turned))
        else:
            decode_untrusted(bytes(turned))  # unchecked payload: the block's digest finds it


@pytest.mark.parametrize("flags", [Flag.NONE, Flag.CHECKSUM])
def test_encode__data_is_covered_if_it_says_so(flags: Flag) -> None:
    packet = bytearray(encode(Message(kind=Kind.DATA, flags=flags, tail=bytes(50))))
    packet[-1] ^= 1
    if flags:
        with pytest.raises(MalformedError):
            decode_untrusted(bytes(packet))
    else:
        assert decode_untrusted(bytes(packet)).tail[-1] == 1


@pytest.mark.parametrize("kind", [0, 12, 15])
def test_decode__a_kind_that_there_is_not_is_malformed_though_its_check_is_right(kind: int) -> None:
    head = np.zeros(1, HEADER)
    head["magic"], head["kind_flags"] = wire.MAGIC, kind << 4
    head["check"] = header_check(head, np.zeros(1, np.uint64))
    with pytest.raises(MalformedError, match="kind"):
        decode_untrusted(head.tobytes())


@pytest.mark.parametrize("kind", list(BODIES), ids=lambda kind: kind.name)
def test_decode__a_body_too_short_for_its_kind_is_malformed_though_its_check_is_right(kind: Kind) -> None:
    short = encode(Message(kind=Kind.NACK, tail=bytes(BODIES[kind].itemsize - 1)))
    head = np.frombuffer(short, HEADER, 1).copy()
    head["kind_flags"] = kind << 4
    head["check"] = header_check(head, body_mix(np.frombuffer(short[HEADER_BYTES:], np.uint8).reshape(1, -1)))
    with pytest.raises(MalformedError, match=kind.name):
        decode_untrusted(head.tobytes() + short[HEADER_BYTES:])


# ---- the check


@given(st.lists(st.binary(min_size=24, max_size=24), min_size=1, max_size=9), st.integers(0, 0xFFFFFFFF))
def test_header_check__of_many_is_that_of_each(heads: list[bytes], total: int) -> None:
    together = header_check(np.frombuffer(b"".join(heads), HEADER), np.full(len(heads), total, np.uint64))
    alone = [header_check(np.frombuffer(head, HEADER), np.array([total], np.uint64))[0] for head in heads]
    assert together.tolist() == alone


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"", 0),
        (bytes(7), 0),
        (b"\x12\x34", 0x1234),
        (b"\x12\x34\x56", 0x1234 + 0x5600),
        (b"\xff\xff", 0xFFFF),
        (b"\xff\xff\x00\x01", 1),
        (b"\xff\xff" * 2000, 0xFFFF),
        (bytes.fromhex("0001f203f4f5f6f7"), 0xDDF2),  # the example of RFC 1071, section 3
    ],
)
def test_payload_sums__known_sums(payload: bytes, expected: int) -> None:
    assert payload_sums(np.frombuffer(payload, np.uint8).reshape(1, -1)).tolist() == [expected]


@given(st.integers(1, 5), st.integers(0, 90), st.randoms(use_true_random=False))
def test_payload_sums__zeros_behind_change_nothing(count: int, size: int, rng: Any) -> None:
    payloads = np.frombuffer(rng.randbytes(count * size), np.uint8).reshape(count, size)
    longer = np.pad(payloads, ((0, 0), (0, 6)))
    assert payload_sums(payloads).tolist() == payload_sums(longer).tolist()


def mixes(bodies: list[bytes]) -> list[int]:
    """body_mix of bodies of one length."""
    mixed: list[int] = body_mix(np.frombuffer(b"".join(bodies), np.uint8).reshape(len(bodies), -1)).tolist()
    return mixed


def test_body_mix__of_one_word() -> None:
    """By hand: multiply, fold, and keep the lower half."""
    product = 0x0102030405060708 * 0xD6E8FEB86659FD93 % (1 << 64)
    assert mixes([bytes(range(1, 9))]) == [(product ^ product >> 32) & 0xFFFFFFFF]


def test_body_mix__of_nothing_is_nothing() -> None:
    assert body_mix(np.zeros((3, 0), np.uint8)).tolist() == [0, 0, 0]


@given(st.integers(1, 5), st.integers(1, 90), st.randoms(use_true_random=False))
def test_body_mix__of_many_is_that_of_each_with_zeros_behind(count: int, size: int, rng: Any) -> None:
    bodies = [rng.randbytes(size) for _ in range(count)]
    padded = [body.ljust(-(-size // 8) * 8, b"\0") for body in bodies]
    assert mixes(bodies) == mixes(padded) == [mixes([body])[0] for body in bodies]


def test_body_mix__the_order_of_words_matters() -> None:
    """A sum of words would not see it."""
    first, second = mixes([b"12345678abcdefgh", b"abcdefgh12345678"])
    assert first != second


@pytest.mark.parametrize("size", [8, 16, 32, 40])
def test_body_mix__every_pair_of_flips_is_another(size: int) -> None:
    bits = 8 * size
    one, two = np.triu_indices(bits, 1)
    masks = np.zeros((len(one), bits), np.uint8)
    rows = np.arange(len(one))
    masks[rows, one] = masks[rows, two] = 1
    for seed in range(3):
        body = np.frombuffer(Random(seed).randbytes(size) if seed else bytes(size), np.uint8)
        damaged = body_mix(body ^ np.packbits(masks, axis=1))
        assert not np.any(damaged == body_mix(body.reshape(1, -1)))


@pytest.mark.parametrize("words", [0, 1, 2, 16, 128])
def test_decode__finds_two_flips_anywhere_in_an_acknowledgement(words: int) -> None:
    """The 16-bit sum missed 3 % of those in its body."""
    rng = Random(words)
    message = Message(kind=Kind.ACK, session=5, fields={"limit": 64, "highest": 9}, tail=rng.randbytes(8 * words))
    packet = encode(message)
    for _ in range(3000):
        damaged = bytearray(packet)
        for bit in rng.sample(range(8 * HEADER_BYTES, 8 * len(packet)), 2):
            damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(MalformedError):
            decode_untrusted(bytes(damaged))


def test_header_check__finds_scattered_flips() -> None:
    rng, packet = Random(1), encode(EXAMPLES[0])
    for _ in range(3000):
        turned = bytearray(packet)
        for bit in rng.sample(range(8 * HEADER_BYTES), 4):
            turned[bit // 8] ^= 1 << bit % 8
        with pytest.raises(MalformedError):
            decode_untrusted(bytes(turned))


# ---- reasons


@given(st.text(max_size=300))
def test_reason_bytes__fits_and_is_whole_characters(text: str) -> None:
    text = text.encode(errors="ignore").decode()
    raw = reason_bytes(text)
    assert len(raw) <= REASON_MOST_BYTES
    assert text.startswith(raw.decode())


@given(st.binary(max_size=REASON_MOST_BYTES))
def test_reason_untrusted__is_one_harmless_line(raw: bytes) -> None:
    reason = reason_untrusted(raw)
    assert reason.isprintable()
    assert len(reason) <= len(raw)


def test_reason_untrusted__gives_a_plain_reason_back() -> None:
    assert reason_untrusted(reason_bytes("no room: 3 GiB ≥ 2 GiB").ljust(REASON_MOST_BYTES, b"\0")) == (
        "no room: 3 GiB ≥ 2 GiB"
    )


# ---- the law

STRUCTS = {
    **{kind.name.lower(): layout for kind, layout in BODIES.items()},
    "header": wire.HEADER,
    "range": wire.RANGE,
    "trailer": wire.TRAILER,
}
FIXED = {"ack": "bitmap"}  # a struct's open end, which a dtype leaves out


@pytest.fixture(scope="module")
def law(tmp_path_factory: pytest.TempPathFactory) -> Object:
    """An object with one object of each struct of wire.h, or clang would leave the struct out of its BTF."""
    folder = tmp_path_factory.mktemp("wire")
    (folder / "wire.h").write_text((Path(towline.bpf.__path__[0]) / "wire.h").read_text())
    objects = "\n".join(f"struct {name} {name}_object;" for name in STRUCTS)
    source = folder / "law.bpf.c"
    source.write_text(
        f'#include <linux/bpf.h>\n#include <bpf/bpf_helpers.h>\n#include "wire.h"\n{objects}\n'
        'char _license[] SEC("license") = "GPL";\n'
    )
    return Object(compile_program(source))


@pytest.mark.parametrize("name", sorted(STRUCTS))
def test_layouts__are_those_of_wire_h(law: Object, name: str) -> None:
    theirs, ours = law.dtype(name), STRUCTS[name]
    fields = [field for field in theirs.names or () if field != FIXED.get(name)]
    assert tuple(fields) == ours.names
    assert theirs.itemsize == ours.itemsize
    for field in fields:
        assert places(theirs, field) == places(ours, field), field


def places(layout: np.dtype[Any], field: str) -> tuple[int, int, tuple[int, ...]]:
    """Where a field begins, the bytes of one element, how many there are; the law has no byte order."""
    fields: Any = layout.fields
    kind, offset = fields[field][:2]
    return offset, kind.base.itemsize, kind.shape


def test_hello_magic__is_eight_bytes() -> None:
    assert len(HELLO_MAGIC) == wire.HELLO["magic"].itemsize
