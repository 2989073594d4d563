# SPDX-License-Identifier: GPL-2.0-only
"""Whether the counters of a run add up: what the two sides say, what the wire says, and what the path allows."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from towline.framing import LEVELS
from towline.transmit.flow import packet_bytes

Record = Mapping[str, Any]

# Frames that none of us sent: a host asks for an address and answers the question (ARP, RFC 826; neighbour discovery,
# RFC 4861), joins its multicast groups (MLD, RFC 3810), and says that a port is closed by now (ICMP). Most seen: 6.
CHATTER_FRAMES = 16
CHATTER_PER_SECOND = 0.2  # and later it asks again: two frames in 20 to 50 seconds
HEAD_START_S = 0.005  # what a pace and a queue let go at once, in time
_FATES = ("placed", "duplicates", "corrupt", "ring_full", "out_of_window", "contended", "malformed")


def violations(record: Record) -> list[str]:
    """What does not add up in a run's record, in words.

    What needs a number that nobody knows (None) is not checked. Neither is the wire's number of packets that a UDP
    socket sent: without an emulator one frame may hold many of them (GSO), and the interface counts frames. Nor what
    became of packets behind an emulator that dropped some on its own (the run is void), or at a receiver's socket.
    """
    return [said for identity in _IDENTITIES for said in identity(record)]


def _sent(record: Record) -> Iterator[str]:
    """What left is what the file needs, what was sent again, and copies."""
    yield from _equal(record, ("packets_sent",), ("packets", "retransmissions", "redundant_copies"), 0)


def _wire_forward(record: Record) -> Iterator[str]:
    """What left the interface, or found the other end full, is what was sent."""
    if not (record["transmit"] == "udp" and _emulated(record) is None):
        left = ("frames_forward", "dropped_forward")
        yield from _equal(record, left, ("packets_sent", "control_forward"), _chatter(record), _held_up(record))


def _wire_backward(record: Record) -> Iterator[str]:
    """As forward; what XDP bounced is in the ACKs and NACKs."""
    many_in_one = record["datapath_receiver"] == "socket" and LEVELS[record["level"]].has_ports
    if not (many_in_one and _emulated(record) is None):
        left = ("frames_backward", "dropped_backward")
        yield from _equal(record, left, ("acks", "nacks", "control_backward"), _chatter(record))


def _captured(record: Record) -> Iterator[str]:
    """What went into the emulator is what left the interfaces."""
    for way in ("forward", "backward"):
        yield from _equal(record, (f"captured_{way}",), (f"frames_{way}",), CHATTER_FRAMES)


def _fates(record: Record) -> Iterator[str]:
    """What the receiver's program saw is what arrived: as much as was sent, less what the path lost, and its copies."""
    # A full buffer of a socket drops before anybody counts, and so does an emulator that is too slow.
    if record["datapath_receiver"] == "socket" or record["void"]:
        return
    fates = [record[name] for name in _FATES]
    control, arrived = record["control_forward"], _arrived(record)
    if None in fates or control is None or arrived is None:
        return
    # A damaged header names no session of ours; a message may have been lost, or come twice.
    astray = 2 * control + _chatter(record) + _count(record, "corruption")
    if not arrived - astray <= sum(fates) <= arrived:
        yield f"the receiver saw {sum(fates)} packets where {arrived} frames arrived"


def _arrived(record: Record) -> int | None:
    """Frames that reached the receiver's interface; None where that is not known."""
    carried = _emulated(record)
    if carried is not None:
        return int(carried) - _count(record, "loss") + _count(record, "duplication")
    return None if record["transmit"] == "udp" or record["frames_forward"] is None else int(record["frames_forward"])


def _rate(record: Record) -> Iterator[str]:
    """No more payload arrived than the path's rate and the sender's pace have room for."""
    size_bytes, seconds, payload = (record[name] for name in ("file_bytes", "seconds", "payload_size"))
    if None in (size_bytes, seconds, payload):
        return
    share = payload / (LEVELS[record["level"]].frame_bytes + packet_bytes(payload))
    for name, what in (("rate_forward", "the path's rate"), ("pace", "the sender's pace")):
        bits_per_second = record[name]
        if bits_per_second is not None and size_bytes * 8 > bits_per_second * share * (seconds + HEAD_START_S):
            had_gbps = bits_per_second * share / 1e9
            yield f"{record['goodput_gbps']:.3f} Gbit/s of goodput is more than {what} has room for, {had_gbps:.3f}"


def _chatter(record: Record) -> int:
    return CHATTER_FRAMES + int((record["total_seconds"] or 0) * CHATTER_PER_SECOND)


def _held_up(record: Record) -> int:
    """Messages that may not have left: while the neighbour does not answer, the host keeps what is for it, and in the
    end throws it away. Only HELLOs are said before; on a clean path it answers at once."""
    asks = LEVELS[record["level"]].family != socket.AF_PACKET if record["level"] else False
    return int(record["control_forward"] or 0) if asks and _emulated(record) is not None else 0


def _equal(record: Record, ours: tuple[str, ...], theirs: tuple[str, ...], more: int, fewer: int = 0) -> Iterator[str]:
    """The sum of `ours` is that of `theirs`, or up to so many more, or fewer."""
    one, other = ([record[name] for name in names] for names in (ours, theirs))
    if None in one or None in other or -fewer <= sum(one) - sum(other) <= more:
        return
    said = (" + ".join(f"{record[name]} {name}" for name in names) for names in (ours, theirs))
    yield " is not ".join(said)


def _emulated(record: Record) -> int | None:
    """How many frames the emulator carried forward; None: there was none."""
    carried: int | None = record["carried_forward"]
    return carried


def _count(record: Record, what: str) -> int:
    """How many frames the emulator did something to on their way forward."""
    return round((record[f"measured_{what}_forward"] or 0) * (_emulated(record) or 0))


_IDENTITIES: tuple[Callable[[Record], Iterator[str]], ...] = (
    _sent,
    _wire_forward,
    _wire_backward,
    _captured,
    _fates,
    _rate,
)
