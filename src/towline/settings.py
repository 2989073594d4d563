# SPDX-License-Identifier: GPL-2.0-only
"""Every parameter once: its name, short name, unit, default, legal values, help and field in a record.

Command-line options, the laboratory's axes, the programs' constants and the fields of a record are made
from `Settings` and its `Parameter`s, so that a new axis is one new field here.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_type_hints

from towline.errors import SettingsError

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30

LARGEST_PAYLOAD_BYTES = 3370  # live frames hold 3408 bytes; less 14 of Ethernet and 24 of our header
SMALLEST_MTU = 256  # a HELLO has 216 bytes
LARGEST_MTU = 3506  # above it veth refuses native XDP
NEAR_WINDOW = 4096  # packets
FAR_WINDOW = 16384
BLOCK_TRAILER_BYTES = 24  # a block's number and digest
BLOCKS_PER_WINDOW = 4  # a block takes at most this fraction of the window, or the window could not move on

Side = Literal["sender", "receiver", "lab"]
Delivery = Literal["direct", "ring"]
Sink = Literal["file", "memory"]


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """What is to be known about one setting besides its type and default.

    `option` is the long option's name where it is not the field's own; `low` and `high` are inclusive.
    `record` is the name of its field in a record of results, None where it has none.
    """

    help: str
    sides: frozenset[Side]
    option: str | None = None
    short: str | None = None
    unit: str = ""
    low: int | None = None
    high: int | None = None
    power_of_two: bool = False
    choices: tuple[str, ...] = ()
    none_means: str | None = None
    record: str | None = None

    def legal(self) -> str:
        """The legal values in words, for messages and help."""
        if self.choices:
            return " or ".join(self.choices)
        if self.low is None:
            return ""
        power = "a power of two " if self.power_of_two else ""
        most = "up" if self.high is None else f"to {self._show(self.high)}"
        unit = f" {self.unit}" if self.unit and self.high is not None else ""
        none = f", or none: {self.none_means}" if self.none_means else ""
        return f"{power}from {self._show(self.low)} {most}{unit}{none}"

    def allows(self, value: int) -> bool:
        """Whether a number is legal."""
        if self.low is not None and value < self.low:
            return False
        if self.high is not None and value > self.high:
            return False
        return not self.power_of_two or value & (value - 1) == 0

    def _show(self, value: int) -> str:
        return format_size(value) if self.unit == "bytes" else str(value)


SENDER: frozenset[Side] = frozenset({"sender"})
RECEIVER: frozenset[Side] = frozenset({"receiver"})
BOTH: frozenset[Side] = frozenset({"sender", "receiver"})
LAB: frozenset[Side] = frozenset({"lab"})


def _parameter(default: object, help: str, sides: frozenset[Side], **more: Any) -> Any:
    return field(default=default, metadata={"parameter": Parameter(help=help, sides=sides, **more)})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one transfer; each is checked when the object is made (SettingsError)."""

    payload_size: int | None = _parameter(
        None,
        "file bytes in one packet",
        SENDER,
        short="pts",
        unit="bytes",
        low=1,
        high=LARGEST_PAYLOAD_BYTES,
        none_means="what fits the MTU",
        record="payload_size",
    )
    ack_every: int = _parameter(
        32,
        "data packets per cumulative acknowledgement, at most",
        SENDER,
        short="acc",
        unit="packets",
        low=1,
        high=16384,
        record="ack_every",
    )
    pipelining: int | None = _parameter(
        None,
        "bursts of ack-every packets that may be in flight besides the first; 0: one burst, then wait",
        SENDER,
        unit="bursts",
        low=0,
        none_means="the window alone limits",
        record="pipelining",
    )
    lanes: int = _parameter(
        1,
        "lanes: each is one sender CPU, one receive queue, one sequence of packets",
        SENDER,
        low=1,
        high=16,
        record="lanes",
    )
    checksum: bool = _parameter(
        False,
        "check each payload in XDP as well, not only each block by its digest",
        SENDER,
        record="checksum",
    )
    window: int | None = _parameter(
        None,
        "slots for packets that are sent but not yet drained; bounds memory, not file size; the smaller of "
        "both sides' counts",
        BOTH,
        unit="packets",
        none_means=f"{NEAR_WINDOW} where the peer answers within 5 ms, which stays in the cache, else {FAR_WINDOW}",
        low=64,
        high=65536,
        power_of_two=True,
        record="window",
    )
    block_size: int = _parameter(
        MIB,
        "unit of integrity; at most what a quarter of the window holds is used",
        RECEIVER,
        unit="bytes",
        low=1,
        high=64 * MIB,
        record="block_bytes",
    )
    delivery: Delivery = _parameter(
        "direct",
        "how XDP hands payload over: written at its place (direct), or through a BPF ring buffer (ring)",
        RECEIVER,
        choices=("direct", "ring"),
        record="delivery",
    )
    ring_size: int = _parameter(
        16 * MIB,
        "size of the BPF ring buffer of delivery ring, one per lane",
        BOTH,
        unit="bytes",
        low=4096,
        high=GIB,
        power_of_two=True,
        record="ring_size",
    )
    sink: Sink = _parameter(
        "file",
        "where the payload goes: a file, or memory (placed and checked, but not written)",
        RECEIVER,
        choices=("file", "memory"),
        record="sink",
    )
    timeout_s: int = _parameter(
        10,
        "silence after which the other side is taken for dead",
        BOTH,
        option="timeout",
        unit="seconds",
        low=1,
        high=3600,
    )
    mtu: int = _parameter(
        1500,
        "MTU of the links made; raised when the payload needs it",
        LAB,
        unit="bytes",
        low=SMALLEST_MTU,
        high=LARGEST_MTU,
        record="mtu",
    )
    consumer_delay_us: int = _parameter(
        0,
        "provoke a full ring: the receiving process waits that long after each batch",
        RECEIVER,
        option="consumer-delay",
        unit="microseconds",
        low=0,
        high=10_000_000,
        record="consumer_delay_us",
    )
    short_records: int = _parameter(
        0,
        "provoke NACKs: XDP commits every Nth ring record with part of its payload only; 0: never",
        RECEIVER,
        low=0,
        high=(1 << 32) - 1,
        record="short_records",
    )
    first_index: int = _parameter(
        0,
        "first packet index, to test that indices wrap",
        RECEIVER,
        low=0,
        high=(1 << 32) - 1,
    )
    clang_flags_sender: tuple[str, ...] = _parameter(
        (), "flags for clang when it compiles the sender's program", SENDER, record="clang_flags_sender"
    )
    clang_flags_receiver: tuple[str, ...] = _parameter(
        (), "flags for clang when it compiles the receiver's program", RECEIVER, record="clang_flags_receiver"
    )

    def __post_init__(self) -> None:
        for name, parameter in PARAMETERS.items():
            _check(name, parameter, getattr(self, name))
        if self.payload_size is not None:
            largest_block_bytes(self.window or NEAR_WINDOW, self.payload_size)

    @property
    def window_most(self) -> int:
        """The largest window that this side grants or asks for (packets)."""
        return self.window or FAR_WINDOW

    def replace(self, **changes: Any) -> Settings:
        """A copy with some settings changed, checked again."""
        return dataclasses.replace(self, **changes)

    def record_fields(self) -> dict[str, Any]:
        """The settings as they stand in a record of results (flags as one string)."""
        values = {p.record: getattr(self, name) for name, p in PARAMETERS.items() if p.record}
        return {name: shlex.join(v) if isinstance(v, tuple) else v for name, v in values.items()}


PARAMETERS: Mapping[str, Parameter] = {f.name: f.metadata["parameter"] for f in dataclasses.fields(Settings)}


def parameters_of(side: Side) -> dict[str, Parameter]:
    """The settings that one side uses; the laboratory starts both sides, so all of them are its own."""
    return {name: p for name, p in PARAMETERS.items() if side == "lab" or side in p.sides}


def option_of(name: str) -> str:
    """The long option of a setting, without dashes: `ring_size` -> `ring-size`."""
    return PARAMETERS[name].option or name.replace("_", "-")


def type_of(name: str) -> Any:
    """The annotated type of a setting."""
    return _TYPES[name]


def largest_block_bytes(window: int, payload_size: int) -> int:
    """Bytes of a block, without its trailer, that a quarter of the window holds.

    Raises SettingsError where not even one byte fits beside the trailer.
    """
    room_bytes = window // BLOCKS_PER_WINDOW * payload_size - BLOCK_TRAILER_BYTES
    if room_bytes < 1:
        raise SettingsError(
            f"a window of {window} packets of {payload_size} byte(s) is too small: a quarter of it must hold "
            f"a block of one byte and its trailer of {BLOCK_TRAILER_BYTES}; raise --window or --payload-size"
        )
    return room_bytes


_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:I?B)?\s*", re.IGNORECASE | re.ASCII)
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


def parse_size(text: str) -> int:
    """Bytes in a size such as 1500, 64K, 256MiB or 1.5G; the letters are powers of 1024."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise SettingsError(f"{text!r} is not a size: write bytes, or a number with K, M, G or T (256M)")
    number, letter = match.groups()
    scale = 1024 ** _POWERS[letter.upper()]
    size_bytes = int(number) * scale if number.isdecimal() else float(number) * scale
    if size_bytes != int(size_bytes):
        raise SettingsError(f"{text!r} is not a whole number of bytes")
    return int(size_bytes)


def format_size(size_bytes: int) -> str:
    """A size as `parse_size` reads it, exact: 16777216 -> 16M, 1500 -> 1500."""
    for letter in ("T", "G", "M", "K"):
        scale = 1024 ** _POWERS[letter]
        if size_bytes and size_bytes % scale == 0:
            return f"{size_bytes // scale}{letter}"
    return str(size_bytes)


def parse_clang_flags(assignments: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Settings from texts such as `sender=-O3 -mcpu=v2`: {"clang_flags_sender": ("-O3", "-mcpu=v2")}."""
    found: dict[str, tuple[str, ...]] = {}
    programs = [name.removeprefix("clang_flags_") for name in PARAMETERS if name.startswith("clang_flags_")]
    for text in assignments:
        program, equals, flags = text.partition("=")
        if not equals or program not in programs:
            raise SettingsError(f"{text!r}: write PROGRAM=FLAGS, with a program of {' or '.join(programs)}")
        try:
            found[f"clang_flags_{program}"] = tuple(shlex.split(flags))
        except ValueError as error:
            raise SettingsError(f"{text!r}: {error}") from error
    return found


def _check(name: str, parameter: Parameter, value: object) -> None:
    if value is None and parameter.none_means:
        return
    if parameter.choices:
        legal = value in parameter.choices
    elif parameter.low is not None:
        legal = isinstance(value, int) and not isinstance(value, bool) and parameter.allows(value)
    elif _TYPES[name] is bool:
        legal = isinstance(value, bool)
    else:
        legal = isinstance(value, tuple) and all(isinstance(flag, str) for flag in value)
    if not legal:
        raise SettingsError(f"--{option_of(name)} is {value}: it must be {parameter.legal() or 'of its type'}")


_TYPES = get_type_hints(Settings)
