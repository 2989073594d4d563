# SPDX-License-Identifier: GPL-2.0-only
"""One random transfer: all that it is follows from its seed. Nothing here knows a kernel.

Each setting is drawn by itself; then the size is cut to what moves in about a second, because combinations that are
legal and crawl (a byte in a packet, one packet a round trip) would leave no time for others.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from random import Random
from typing import Any

from towline.framing import LEVELS
from towline.lab.children import setting_arguments
from towline.lab.run import Run, mtu_for
from towline.settings import BLOCK_TRAILER_BYTES, KIB, LARGEST_MTU, MIB, NEAR_WINDOW, Settings, largest_block_bytes
from towline.wire import HEADER_BYTES

SIZE_MOST = 4 * MIB
_SECONDS = 0.5  # of waiting that a plan may need by itself, loss not counted
_PACKETS_MOST = 20_000
_BLOCKS_MOST = 1_500  # a block costs a tenth of a millisecond at each end
_TURN_US = 300  # what a round trip takes at least: processes have to wake
_PAUSE_US = 10_000  # of a sender that meets a full ring again and again
_PROBE_US = 250_000  # between two probes, at most
_WRAP = 1 << 32

_MTUS = (1280, 1500, 1500, 1500, 3000, LARGEST_MTU)
_PAYLOADS = (1, 2, 3, 7, 79, 80, 81, 255, 512, 1000)
_ACK_EVERY = (1, 2, 3, 8, 31, 32, 32, 32, 33, 64, 200, 256, 1000)
_WINDOWS = (64, 64, 128, 256, 1024, 4096, 16384, 65536)
_PIPELINING = (0, 1, 2, 3, 7, 30, 100)
_BLOCKS = (1, 100, 1000, 4096, 64 * KIB, 64 * KIB + 1, 256 * KIB, MIB, 64 * MIB)
_SMALL_RING_BYTES = 64 * KIB
_RINGS = (4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB, 16 * MIB)
_ETHERTYPES = (1501, 0x88B5, 0x88B6, 0xBEEF)  # 1501 is a length to Linux; the next two are for experiments
_NEXT_HEADERS = (253, 254, 146)
_BEFORE_WRAP = (1, 2, 63, 64, 65, 500, 5000)
_DATAPATHS = (("ebpf", "ebpf"), ("ebpf", "ebpf"), ("socket", "socket"), ("ebpf", "socket"), ("socket", "ebpf"))
_BITS_PER_SECOND = (50_000_000, 100_000_000, 500_000_000, 1_000_000_000, 3_000_000_000)
_LOSSES = (0.001, 0.01, 0.03, 0.1)
_BURSTS = ((2, (0.01, 0.03)), (3, (0.01, 0.03)), (8, (0.001,)))  # frames, and shares that go with them
_DELAYS_US = (0, 0, 0, 100, 500, 1000, 2000, 5000)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One transfer: so many random bytes, made from the seed. `serves_all`: the receiver names no level."""

    seed: int
    size_bytes: int
    settings: Settings
    serves_all: bool

    @property
    def mtu(self) -> int:
        """Of both ends' interfaces."""
        return mtu_for(self.settings)

    @property
    def datapath(self) -> str:
        """SENDER:RECEIVER."""
        return f"{self.settings.datapath_sender}:{self.settings.datapath_receiver}"

    @property
    def impaired(self) -> bool:
        """Whether the path may lose anything, as far as was asked."""
        settings = self.settings
        return any(any(getattr(settings, name)) for name in ("loss", "corrupt")) or settings.rate != (None, None)

    def run(self) -> Run:
        """The same transfer as the laboratory's."""
        return Run(source=self.size_bytes, settings=self.settings, seed=self.seed)

    def command(self) -> str:
        """The same transfer by itself, as a person types it."""
        words = [f"--size={self.size_bytes}", f"--seed={self.seed}"]
        default = set(setting_arguments(Settings(), "lab"))
        words += [word for word in setting_arguments(self.settings, "lab") if word not in default]
        return shlex.join(["towline", "lab", "transfer", *words])


def plan(seed: int) -> Plan:
    """The transfer of a seed: always the same one, and a legal one."""
    rng = Random(seed)  # noqa: S311 (not for secrets)
    drawn: dict[str, Any] = {"level": rng.choice(sorted(LEVELS)), "mtu": rng.choice(_MTUS)}
    drawn |= _numbers(rng) | _shape(rng, drawn) | _impairments(rng) | _datapaths(rng)
    settings = Settings(**drawn)
    size_bytes = min(_size(rng, _payload_bytes(settings)), _most_bytes(settings))
    shared = LEVELS[settings.level or "ethernet"].is_shared
    return Plan(seed=seed, size_bytes=size_bytes, settings=settings, serves_all=shared and rng.random() < 0.5)


def _sometimes(rng: Random, chance: float, values: Any, otherwise: Any) -> Any:
    return rng.choice(values) if rng.random() < chance else otherwise


def _log_uniform(rng: Random, low: int, high: int) -> int:
    return min(high, int(low * (high / low) ** rng.random()))


def _numbers(rng: Random) -> dict[str, Any]:
    first = _sometimes(rng, 0.3, [_WRAP - before for before in _BEFORE_WRAP], 0)
    return {
        "ethertype": _sometimes(rng, 0.4, _ETHERTYPES, 0x1501),
        "next_header": _sometimes(rng, 0.4, _NEXT_HEADERS, 146),
        "port": _sometimes(rng, 0.5, (rng.randint(1024, 65535),), 15010),
        "first_index": _sometimes(rng, 0.1, (rng.randrange(_WRAP),), first),
    }


def _shape(rng: Random, drawn: dict[str, Any]) -> dict[str, Any]:
    """Packets, acknowledgements, windows, blocks."""
    largest = LEVELS[drawn["level"]].largest_payload_bytes(drawn["mtu"])
    payload = _sometimes(rng, 0.5, (rng.choice(_PAYLOADS), _log_uniform(rng, 1, largest), largest - 1), None)
    window = _sometimes(rng, 0.5, _WINDOWS, None)
    while payload and window and window // 4 * payload <= BLOCK_TRAILER_BYTES:
        window *= 2  # a quarter of it has to hold a block
    return {
        "payload_size": payload,
        "window": window,
        "ack_every": rng.choice(_ACK_EVERY),
        "pipelining": _sometimes(rng, 0.3, _PIPELINING, None),
        "checksum": rng.random() < 0.4,
        "redundancy": _sometimes(rng, 0.25, (2, 3), 1),
        "lanes": rng.choice((1, 1, 2)),
        "block_size": _sometimes(rng, 0.5, _BLOCKS, MIB),
        "pace": _sometimes(rng, 0.15, _BITS_PER_SECOND, None),
    }


def _datapaths(rng: Random) -> dict[str, Any]:
    sender, receiver = rng.choice(_DATAPATHS)
    found: dict[str, Any] = {"datapath_sender": sender, "datapath_receiver": receiver}
    if receiver == "ebpf":
        found["delivery"] = rng.choice(("direct", "ring"))
        if found["delivery"] == "ring":
            found["ring_size"] = rng.choice(_RINGS)
            if found["ring_size"] > _SMALL_RING_BYTES:  # a ring that is full all the time is trouble enough
                found["short_records"] = _sometimes(rng, 0.2, (3, 50, 1000), 0)
                found["consumer_delay_us"] = _sometimes(rng, 0.1, (500, 2000), 0)
    if "ebpf" in (sender, receiver):
        found["xdp_mode"] = _sometimes(rng, 0.15, ("generic",), None)
    return found


def _impairments(rng: Random) -> dict[str, Any]:
    """Each direction by itself, and sometimes nothing at all."""
    names = ("delay", "jitter", "rate", "loss", "loss_burst", "corrupt", "duplicate", "reorder")
    if rng.random() < 0.15:
        return {}
    forward, backward = _direction(rng), _direction(rng)
    return {name: (forward[name], backward[name]) for name in names}


def _direction(rng: Random) -> dict[str, Any]:
    delay_us = rng.choice(_DELAYS_US)
    # Bursts are so many frames long, and a sender that hears nothing sends few: one that takes every HELLO of 10 s, or
    # every probe, must be too rare to be met in a soak.
    burst, losses = rng.choice(_BURSTS) if rng.random() < 0.25 else (1, _LOSSES)
    loss = _sometimes(rng, 0.6, losses, 0.0)
    return {
        "delay": delay_us,
        "jitter": _sometimes(rng, 0.3, (delay_us // 10, delay_us), 0),
        "rate": _sometimes(rng, 0.15, _BITS_PER_SECOND, None),
        "loss": loss,
        "loss_burst": burst if loss else 1,
        "corrupt": _sometimes(rng, 0.4, (0.001, 0.02), 0.0),
        "duplicate": _sometimes(rng, 0.3, (0.01, 0.05), 0.0),
        "reorder": _sometimes(rng, 0.3, (0.01, 0.05), 0.0),
    }


def _payload_bytes(settings: Settings) -> int:
    level = LEVELS[settings.level or "ethernet"]
    return settings.payload_size or level.largest_payload_bytes(mtu_for(settings))


def _size(rng: Random, payload: int) -> int:
    """Log-uniform, or an edge: of a packet, of 64 packets, of a block of the usual size."""
    if rng.random() < 0.2:
        edge = rng.choice((0, 1, payload, 2 * payload, 64 * payload, 64 * KIB, MIB))
        return min(max(edge + rng.choice((-1, 0, 1)), 0), SIZE_MOST)
    return _log_uniform(rng, 1, SIZE_MOST)


def _most_bytes(settings: Settings) -> int:
    """As much as the slowest part of it carries in the time that a plan may take."""
    payload = _payload_bytes(settings)
    window = settings.window or NEAR_WINDOW
    block = min(settings.block_size, largest_block_bytes(window, payload))
    turn_us = sum(settings.delay) + sum(settings.jitter) + _TURN_US
    # What is lost costs a round trip more, and the tail's probe is not the first to be sent.
    turn_us = int(turn_us * (1 + 8 * max(settings.loss) + 4 * max(settings.corrupt)))
    if max(settings.loss_burst) > 1:  # it takes the probes, too, which come ever more rarely
        turn_us += int(max(settings.loss) * _PROBE_US)
    turns = _SECONDS * 1e6 / turn_us
    carried = min(payload, block)  # by a packet: a block begins in one of its own
    in_flight = window // 2
    if settings.pipelining is not None:
        in_flight = min(in_flight, settings.ack_every * (settings.pipelining + 1))
    limits = [_PACKETS_MOST * carried, _BLOCKS_MOST * block, turns * in_flight * carried]
    frame_bytes = payload + HEADER_BYTES + LEVELS[settings.level or "ethernet"].frame_bytes
    rates = [rate for rate in (settings.pace, *settings.rate) if rate is not None]
    limits += [_SECONDS * rate / 8 * payload / frame_bytes / settings.redundancy for rate in rates]
    if settings.delivery == "ring":
        held = max(1, settings.ring_size // 2 // (LEVELS["raw"].largest_payload_bytes(mtu_for(settings)) + 16))
        pause_us = max(_PAUSE_US, turn_us) + settings.consumer_delay_us
        limits.append(_SECONDS * 1e6 / pause_us * held * carried)
    return int(min(limits))
