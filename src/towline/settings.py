# SPDX-License-Identifier: GPL-2.0-only
"""Every parameter once: its name, short name, unit, default, legal values, help and field in a record.

Command-line options, the laboratory's axes, the programs' constants and the fields of a record are made
from `Settings` and its `Parameter`s, so that a new axis is one new field here.
"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_type_hints

from towline.bpf import policy_names
from towline.errors import SettingsError
from towline.parameter import Parameter, Role, Side
from towline.quantities import DIRECTIONS, parse_duration

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30

LARGEST_PAYLOAD_BYTES = 3384  # live frames hold 3408 bytes; less 24 of our header, at level raw
SMALLEST_MTU = 256  # a HELLO has 216 bytes
LARGEST_MTU = 3506  # above it veth refuses native XDP
WINDOW_LEAST = 64  # packets
WINDOW_MOST = 65536
NEAR_WINDOW = 4096
FAR_WINDOW = 16384
LANES_MOST = 16
BLOCK_TRAILER_BYTES = 24  # a block's number and digest
DEFAULT_PORT = 15010
STALL_TIMEOUT_S = 60
BLOCKS_PER_WINDOW = 4  # a block takes at most this fraction of the window, or the window could not move on

Delivery = Literal["direct", "ring"]
LevelName = Literal["raw", "dst", "dst-src", "ethernet", "ipv6", "udp6", "udp4"]
Datapath = Literal["ebpf", "socket"]
Transmit = Literal["live", "packet", "udp"]
XdpMode = Literal["native", "generic"]
Pair = tuple[Any, Any]  # (forward, backward)
Sink = Literal["file", "memory"]


SENDER: frozenset[Side] = frozenset({"sender"})
RECEIVER: frozenset[Side] = frozenset({"receiver"})
BOTH: frozenset[Side] = frozenset({"sender", "receiver"})
LAB: frozenset[Side] = frozenset({"lab"})


def _parameter(default: object, help: str, sides: frozenset[Side], **more: Any) -> Any:
    return field(default=default, metadata={"parameter": Parameter(help=help, sides=sides, **more)})


def _impairment(default: object, help: str, *, low: float = 0, **more: Any) -> Any:
    """What the emulator does to frames: a value for each direction."""
    more = {"record": None, "none_means": "unlimited" if default is None else None} | more
    pair = (default, default)
    return _parameter(pair, f"{help}; or forward=...,backward=...", LAB, low=low, directions=True, **more)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one transfer; each is checked when the object is made (SettingsError)."""

    level: LevelName | None = _parameter(
        None,
        "the framing in front of each packet's header",
        BOTH,
        choices=get_args(LevelName),
        none_means="what the target's form says: ethernet for MAC%IF, udp6 or udp4 for a host; a receiver serves "
        "ethernet, ipv6, udp6 and udp4 at once",
        record="level",
    )
    ethertype: int = _parameter(
        0x1501, "the type in Ethernet frames (level ethernet)", BOTH, unit="hex", low=1, high=0xFFFF
    )
    next_header: int = _parameter(
        146,
        "the next header in IPv6 packets (level ipv6); 253 is the experimental one",
        BOTH,
        low=1,
        high=255,
    )
    port: int = _parameter(
        DEFAULT_PORT, "the UDP port that the receiver listens on (levels udp6 and udp4)", BOTH, low=1, high=65535
    )
    datapath_sender: Datapath = _parameter(
        "ebpf",
        "who does the sender's per-packet work: XDP programs (ebpf), or ordinary sockets (socket)",
        SENDER,
        choices=get_args(Datapath),
        record="datapath_sender",
    )
    datapath_receiver: Datapath = _parameter(
        "ebpf",
        "who does the receiver's per-packet work: XDP programs (ebpf), or ordinary sockets (socket)",
        RECEIVER,
        choices=get_args(Datapath),
        record="datapath_receiver",
    )
    transmit: Transmit | None = _parameter(
        None,
        "how frames leave: from XDP on live frames, through a packet socket, or through a UDP socket",
        SENDER,
        choices=get_args(Transmit),
        none_means="the fastest that works here",
        record="transmit",
    )
    xdp_mode: XdpMode | None = _parameter(
        None,
        "where XDP programs run: in the driver (native), or behind it (generic)",
        BOTH,
        choices=get_args(XdpMode),
        none_means="native, and generic where the driver cannot",
        xdp_at=("sender", "receiver"),
    )
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
        "data packets per cumulative acknowledgement, at most (policy fixed; others have rules of their own)",
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
        high=LANES_MOST,
        record="lanes",
    )
    redundancy: int = _parameter(1, "how many times each packet is sent", SENDER, low=1, high=16, record="redundancy")
    pace: int | None = _parameter(
        None,
        "send at this rate and no faster, counting all bytes of all frames; without it a sender takes what it can, "
        "which only a link of one's own likes",
        SENDER,
        unit="bit/s",
        low=8_000,
        high=400_000_000_000,
        none_means="as fast as possible",
        record="pace",
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
        low=WINDOW_LEAST,
        high=WINDOW_MOST,
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
    delivery: Delivery | None = _parameter(
        None,
        "how XDP hands payload over: written at its place (direct), or through a BPF ring buffer (ring)",
        RECEIVER,
        choices=get_args(Delivery),
        none_means="direct, and with datapath socket neither",
        record="delivery",
        xdp_at=("receiver",),
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
        choices=get_args(Sink),
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
    stall_timeout_s: int | None = _parameter(
        None,
        "give up when nothing has moved for that long, though the other side answers",
        BOTH,
        option="stall-timeout",
        unit="seconds",
        low=1,
        high=86_400,
        none_means=f"{STALL_TIMEOUT_S}, or the timeout where that is longer",
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
    policy: str = _parameter(
        "fixed",
        "when acknowledgements are due: a file of src/towline/bpf/policies",
        RECEIVER,
        choices=policy_names(),
        record="policy",
        xdp_at=("receiver",),
    )
    swap: tuple[str, ...] = _parameter(
        (),
        "TIME=POLICY, several with spaces (500ms=every 1s=adaptive): replace the receiver's program when bytes have "
        "flowed for that long",
        LAB,
        record="swap",
        xdp_at=("receiver",),
    )
    watch_gaps: bool = _parameter(
        False,
        "measure how long the programs leave a session's packets alone; costs a look at the clock for each packet",
        BOTH,
        xdp_at=("sender", "receiver"),
    )
    spin_ns: int = _parameter(
        0,
        "a known slowness: the receiver's program waits that long for each packet (from 100 on; less cannot be kept)",
        RECEIVER,
        option="spin",
        unit="nanoseconds",
        low=0,
        high=1_000_000,
        record="spin_ns",
        xdp_at=("receiver",),
    )
    first_index: int = _parameter(
        0,
        "first packet index, to test that indices wrap",
        RECEIVER,
        low=0,
        high=(1 << 32) - 1,
    )
    delay: Pair = _impairment(0, "how long a frame is under way, each way", unit="time", high=10_000_000)
    jitter: Pair = _impairment(0, "how far a frame's delay varies, to either side", unit="time", high=10_000_000)
    rate: Pair = _impairment(None, "rate of the path, in bits of frames", unit="bit/s", low=8_000, high=100_000_000_000)
    queue: Pair = _impairment(
        None,
        "how much waits in front of the rate before frames are dropped",
        unit="bytes",
        low=1,
        high=GIB,
        none_means="the path's delay times its rate, and at least 100 frames",
    )
    loss: Pair = _impairment(0.0, "share of frames that are lost", unit="share", high=1.0)
    loss_burst: Pair = _impairment(
        1, "mean length of a burst of losses (Gilbert and Elliott's model); 1: each by itself", low=1, high=1_000_000
    )
    corrupt: Pair = _impairment(0.0, "share of frames with flipped bits", unit="share", high=1.0, record="corruption")
    duplicate: Pair = _impairment(0.0, "share of frames that come twice", unit="share", high=1.0, record="duplication")
    reorder: Pair = _impairment(
        0.0, "share of frames that others overtake", unit="share", high=1.0, record="reordering"
    )
    clang_flags_sender: tuple[str, ...] = _parameter(
        (),
        "flags for clang when it compiles the sender's program",
        SENDER,
        record="clang_flags_sender",
        xdp_at=("sender",),
    )
    clang_flags_receiver: tuple[str, ...] = _parameter(
        (),
        "flags for clang when it compiles the receiver's program",
        RECEIVER,
        record="clang_flags_receiver",
        xdp_at=("receiver",),
    )
    clang_flags_emulator: tuple[str, ...] = _parameter(
        (), "flags for clang when it compiles the emulator's program", LAB, record="clang_flags_emulator"
    )

    def __post_init__(self) -> None:
        for name in PARAMETERS:
            check(name, getattr(self, name))
        if self.payload_size is not None:
            largest_block_bytes(self.window or NEAR_WINDOW, self.payload_size)
        for name, parameter in PARAMETERS.items():
            sides = parameter.xdp_at
            if sides and all(self._datapath(side) == "socket" for side in sides) and self._is_asked_for(name):
                where = f"the {sides[0]}" if len(sides) == 1 else "one side at least"
                raise SettingsError(f"--{option_of(name)} needs XDP at {where}: leave it out, or --datapath ebpf")
        for moment in self.swap:
            parse_swap(moment)
        for name in ("consumer_delay_us", "short_records"):
            if getattr(self, name) and self.delivery != "ring":
                raise SettingsError(f"--{option_of(name)} needs --delivery ring")
        if self.datapath_sender == "socket" and self.transmit == "live":
            raise SettingsError("--transmit live needs XDP at the sender: leave it out, or --datapath ebpf")

    @property
    def window_most(self) -> int:
        """The largest window that this side grants or asks for (packets)."""
        return self.window or FAR_WINDOW

    @property
    def stalled_us(self) -> int:
        """How long a transfer may stand still before this side gives up (microseconds)."""
        return (self.stall_timeout_s or max(STALL_TIMEOUT_S, self.timeout_s)) * 1_000_000

    def insists_on_xdp(self, side: Role) -> bool:
        """Whether something was asked for that a side without XDP would not heed: then it may not fall back."""
        if side == "sender" and self.transmit == "live":
            return True
        return any(side in one.xdp_at and self._is_asked_for(name) for name, one in PARAMETERS.items())

    def _datapath(self, side: Role) -> Datapath:
        return self.datapath_sender if side == "sender" else self.datapath_receiver

    def _is_asked_for(self, name: str) -> bool:
        return bool(getattr(self, name) != _DEFAULTS[name])

    def replace(self, **changes: Any) -> Settings:
        """A copy with some settings changed, checked again."""
        return dataclasses.replace(self, **changes)

    def record_fields(self) -> dict[str, Any]:
        """The settings as they stand in a record of results (flags as one string)."""
        fields: dict[str, Any] = {}
        for name, parameter in PARAMETERS.items():
            value = getattr(self, name)
            if parameter.directions:
                stem = parameter.record or name
                fields |= {f"{stem}_{way}": one for way, one in zip(DIRECTIONS, value, strict=True)}
            elif parameter.record:
                fields[parameter.record] = shlex.join(value) if isinstance(value, tuple) else value
        return fields


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


def default_of(name: str) -> Any:
    """A setting's default."""
    return _DEFAULTS[name]


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


def parse_swap(text: str) -> tuple[int, str]:
    """(microseconds, policy) of a text such as `500ms=every`."""
    when, equals, policy = text.partition("=")
    if not equals or policy not in policy_names():
        raise SettingsError(f"--swap {text!r}: write TIME=POLICY, with a policy of {' or '.join(policy_names())}")
    return parse_duration(when), policy


def check(name: str, value: object) -> None:
    """Raises SettingsError where a setting may not have that value."""
    parameter = PARAMETERS[name]
    if value is None and parameter.none_means and not parameter.directions:
        return
    if parameter.choices:
        legal = value in parameter.choices
    elif parameter.directions:
        pair = value if isinstance(value, tuple) and len(value) == len(DIRECTIONS) else ("",)
        legal = all((one is None and parameter.none_means) or parameter.allows(one) for one in pair)
    elif parameter.low is not None:
        legal = parameter.allows(value)
    elif _TYPES[name] is bool:
        legal = isinstance(value, bool)
    else:
        legal = isinstance(value, tuple) and all(isinstance(flag, str) for flag in value)
    if not legal:
        raise SettingsError(f"--{option_of(name)} is {value}: it must be {parameter.legal() or 'of its type'}")


_TYPES = get_type_hints(Settings)
_DEFAULTS: Mapping[str, Any] = {f.name: f.default for f in dataclasses.fields(Settings)}
