# SPDX-License-Identifier: GPL-2.0-only
"""Each side's part of the record of a transfer; the names are fixed, the laboratory puts the parts together."""

from __future__ import annotations

from typing import Any

import numpy as np

from towline.delivery import Receiver
from towline.kernel import figures
from towline.protocol.opening import Terms
from towline.settings import Settings
from towline.transfer.incoming import Incoming
from towline.transfer.lane import Lane
from towline.transmit.lane import Transmitter, rtt_percentile_us


def sender_record(
    *,
    lanes: list[Lane],
    terms: Terms,
    settings: Settings,
    file_bytes: int,
    level: str,
    transmitter: Transmitter,
    started_us: int,
    finished_us: int,
    control_sent: int,
) -> dict[str, Any]:
    """What the sender knows; its clock counts, from the first DATA to DONE."""
    first_us = min(lane.first_sent_us or finished_us for lane in lanes)
    seconds = (finished_us - first_us) / 1e6
    histogram = np.sum([lane.transmit.rtt_histogram() for lane in lanes], axis=0)
    return {
        "level": level,
        "datapath_sender": "socket" if transmitter.xdp_mode is None else "ebpf",
        "transmit": transmitter.transmit,
        "xdp_mode_sender": transmitter.xdp_mode,
        "payload_size": terms.payload_size,
        "ack_every": terms.ack_every,
        "window": terms.window,
        "block_bytes": terms.block_bytes,
        "pipelining": settings.pipelining,
        "lanes": len(lanes),
        "checksum": settings.checksum,
        "redundancy": settings.redundancy,
        "pace": settings.pace,
        "file_bytes": file_bytes,
        "seconds": seconds,
        "total_seconds": (finished_us - started_us) / 1e6,
        "goodput_gbps": file_bytes * 8 / 1e9 / seconds if seconds else None,
        "packets_sent": sum(lane.transmit.counters()["sent"] for lane in lanes),
        "packets": sum(lane.rules.packets for lane in lanes),
        "retransmissions": sum(lane.rules.retransmissions for lane in lanes),
        "redundant_copies": sum(lane.rules.redundant_copies for lane in lanes),
        "control_forward": control_sent,
        "rtt_us_p50": rtt_percentile_us(histogram, 50),
        "rtt_us_p99": rtt_percentile_us(histogram, 99),
        **_program(transmitter.program, "sender"),
    }


def receiver_record(
    incoming: Incoming, settings: Settings, receiver: Receiver | None, control_sent: int | None
) -> dict[str, Any]:
    """What the receiver knows: what became of every packet, by cause.

    `receiver`: whose XDP program took them, None where a socket did. `control_sent`: None where nobody knows.
    """
    xdp_mode = None if receiver is None else receiver.xdp_mode
    lanes = list(incoming.lanes.values())
    acks, nacks = sum(lane.acks for lane in lanes), sum(lane.nacks for lane in lanes)  # of the process, not of XDP

    def total(name: str) -> int:
        return sum(lane.counters[name] for lane in lanes)

    return {
        "datapath_receiver": "socket" if xdp_mode is None else "ebpf",
        "delivery": None if xdp_mode is None else incoming.terms.delivery,
        "xdp_mode_receiver": xdp_mode,
        "ring_size": settings.ring_size if incoming.terms.delivery == "ring" else None,
        "useless_retransmissions": total("useless"),
        "acks": total("acks") + acks,
        "nacks": total("full_nacks") + nacks,
        "control_backward": None if control_sent is None else control_sent - acks - nacks,
        "placed": total("placed"),
        "duplicates": total("duplicates"),
        "corrupt": total("corrupt"),
        "ring_full": total("ring_full"),
        "out_of_window": total("out_of_window"),
        "contended": total("contended"),
        "malformed": total("malformed"),
        **_program(None if receiver is None else receiver.program, "receiver"),
    }


def _program(program: int | None, side: str) -> dict[str, Any]:
    """A socket has no program to say anything of."""
    return {} if program is None else figures.fields([program], side)
