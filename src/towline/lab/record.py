# SPDX-License-Identifier: GPL-2.0-only
"""The record of a run: its fields in their order, and how they are put together from what each side knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from towline.quantities import DIRECTIONS

_IMPAIRMENTS = ("delay", "jitter", "rate", "loss", "corruption", "duplication", "reordering")
_ASKED = (*_IMPAIRMENTS[:3], "queue", "loss", "loss_burst", *_IMPAIRMENTS[4:])
_PROGRAMS = ("sender", "receiver", "emulator")
_PROGRAM_FIGURES = ("instructions", "verified_instructions", "jited_bytes", "program_ns")
IMPAIRMENT_FIELDS: tuple[str, ...] = (
    *(f"{name}_{direction}" for name in _ASKED for direction in DIRECTIONS),
    *(f"measured_{name}_{direction}" for name in _IMPAIRMENTS for direction in DIRECTIONS),
    *(f"{name}_{direction}" for name in ("captured", "carried") for direction in DIRECTIONS),
)

# Plots, comparisons and scripts depend on these names: none may change, new ones may come.
FIELDS: tuple[str, ...] = (
    *("plan", "cell", "attempt"),
    *("environment", "level", "datapath_sender", "datapath_receiver", "delivery", "transmit"),
    *("xdp_mode_sender", "xdp_mode_receiver", "payload_size", "ack_every", "ring_size", "pipelining"),
    *("lanes", "window", "block_bytes", "mtu", "checksum", "redundancy", "pace", "repetition", "order"),
    *("seed", "file_bytes", "clang_flags_sender", "clang_flags_receiver", "clang_flags_emulator", "sink"),
    *("consumer_delay_us", "short_records", "spin_ns", "policy", "swap"),
    *IMPAIRMENT_FIELDS,
    *(
        "canary",
        "canary_memory_us",
        "canary_program_ns",
        "load",
        "stolen",
        "short",
        "seconds",
        "total_seconds",
        "goodput_gbps",
        "packets_sent",
        "packets",
    ),
    *("retransmissions", "redundant_copies", "useless_retransmissions", "acks", "nacks", "placed", "duplicates"),
    *("corrupt", "ring_full", "out_of_window", "contended", "malformed", "rtt_us_p50", "rtt_us_p99"),
    *("frames_forward", "frames_backward", "dropped_forward", "dropped_backward"),
    *("control_forward", "control_backward", "accounting"),
    *(f"{figure}_{program}" for program in _PROGRAMS for figure in _PROGRAM_FIGURES),
    *("swaps", "swap_effect_us"),
    *("cpu_seconds", "cpu_seconds_per_gib", "process_cpu_seconds", "peak_rss_mib", "verified", "failed", "refused"),
    *("void", "void_reason", "kernel", "cpu", "version"),
)

_SUMS = ("process_cpu_seconds", "peak_rss_mib")  # each side knows its own part


def merge(
    asked: Mapping[str, Any], receiver: Mapping[str, Any], sender: Mapping[str, Any], lab: Mapping[str, Any]
) -> dict[str, Any]:
    """One flat record from what was asked for and what the two sides and the laboratory know.

    Where several know a field, the later of the arguments wins (the sender before the receiver: its clock
    counts); sums add both sides, and are None where one is silent. A side may say that a field does not
    apply (None where something was asked for). Raises ValueError for a name that is no field of a record.
    """
    unknown = sorted((asked.keys() | receiver.keys() | sender.keys() | lab.keys()) - set(FIELDS))
    if unknown:
        raise ValueError(f"no fields of a record: {', '.join(unknown)}")
    said = {name: part[name] for part in (receiver, sender) for name in part if part[name] is not None}
    denied = dict.fromkeys((receiver.keys() | sender.keys()) - said.keys())
    record: dict[str, Any] = {**dict.fromkeys(FIELDS), **asked, **denied, **said, **lab}
    for name in _SUMS:
        parts = [part[name] for part in (sender, receiver) if part.get(name) is not None]
        record[name] = sum(parts) if len(parts) == 2 else None
    return _derive(record)


def _derive(record: dict[str, Any]) -> dict[str, Any]:
    size_bytes, seconds, cpu_s = (record[name] for name in ("file_bytes", "seconds", "cpu_seconds"))
    if record["goodput_gbps"] is None and size_bytes is not None and seconds:
        record["goodput_gbps"] = size_bytes * 8 / 1e9 / seconds
    if size_bytes and cpu_s is not None:
        record["cpu_seconds_per_gib"] = cpu_s / (size_bytes / (1 << 30))
    return record
