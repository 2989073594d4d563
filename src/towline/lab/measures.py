# SPDX-License-Identifier: GPL-2.0-only
"""What a plot may show: figures of a record, with the words and the unit that stand at an axis."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Record = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A figure of a run; `of` gives it from a record, None where it was not measured. `unit` may be empty."""

    name: str
    label: str
    unit: str
    of: Callable[[Record], float | None]

    @property
    def title(self) -> str:
        """As it stands at an axis."""
        return f"{self.label} ({self.unit})" if self.unit else self.label


def _field(name: str, label: str, unit: str = "", scale: float = 1.0) -> Measure:
    def of(record: Record) -> float | None:
        value = record.get(name)
        return None if value is None else float(value) * scale

    return Measure(name=name, label=label, unit=unit, of=of)


def _quotient(name: str, label: str, unit: str, over: str, under: str, scale: float = 1.0) -> Measure:
    def of(record: Record) -> float | None:
        above, below = record.get(over), record.get(under)
        return None if above is None or not below else above * scale / below

    return Measure(name=name, label=label, unit=unit, of=of)


_PROGRAMS = ("sender", "receiver", "emulator")

MEASURES: Mapping[str, Measure] = {
    measure.name: measure
    for measure in (
        _field("goodput_gbps", "goodput", "Gbit/s"),
        _field("seconds", "time from the first packet to the confirmation", "s"),
        _field("total_seconds", "time with handshake and set-up", "s"),
        _field("cpu_seconds_per_gib", "CPU time of the machine for each GiB", "s"),
        _field("cpu_seconds", "CPU time of the machine", "s"),
        _field("peak_rss_mib", "memory of both processes, at most", "MiB"),
        _field("rtt_us_p50", "round trip, median", "us"),
        _field("rtt_us_p99", "round trip, 99th percentile", "us"),
        _field("packets", "packets"),
        _field("packets_sent", "packets sent, repetitions included"),
        _field("retransmissions", "retransmissions"),
        _field("useless_retransmissions", "retransmissions of what had arrived"),
        _field("acks", "acknowledgements"),
        _field("nacks", "NACKs"),
        _field("ring_full", "packets refused by a full ring"),
        _field("corrupt", "packets refused as damaged"),
        _field("duplicates", "packets that came twice"),
        _quotient("ns_per_packet", "time for each packet of the file", "ns", "seconds", "packets", 1e9),
        _quotient(
            "retransmission_share", "retransmissions for 100 packets of the file", "", "retransmissions", "packets", 100
        ),
        _quotient(
            "useless_share",
            "useless retransmissions in 100 packets sent",
            "",
            "useless_retransmissions",
            "packets_sent",
            100,
        ),
        _quotient("packets_per_ack", "packets for each acknowledgement", "", "packets", "acks"),
        *(_field(f"instructions_{one}", f"instructions of the {one}'s program") for one in _PROGRAMS),
        *(_field(f"verified_instructions_{one}", f"instructions that the verifier walked, {one}") for one in _PROGRAMS),
        *(_field(f"jited_bytes_{one}", f"machine code of the {one}'s program", "bytes") for one in _PROGRAMS),
        *(_field(f"program_ns_{one}", f"time in the {one}'s program for each packet", "ns") for one in _PROGRAMS),
    )
}
