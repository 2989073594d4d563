# SPDX-License-Identifier: GPL-2.0-only
"""Both ends of a transfer over a fake path and a fake clock, from HELLO to CLOSE, in bounded steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from tests import twins
from tests.fake_path import CLEAN, Clock, Impairment, Path
from tests.pair_receiver import MemorySink, ReceiverEnd
from tests.pair_sender import SenderEnd
from towline.errors import TowlineError

SECONDS_MOST = 600


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One schedule: what is sent, with which settings, over what path. Times in microseconds."""

    seed: int
    size_bytes: int = 20_000
    payload_size: int = 100
    ack_every: int = 8
    window: int = 64
    receiver_window: int | None = None
    block_bytes: int = 1 << 20
    lanes: int = 1
    pipelining: int | None = None
    checksum: bool = False
    delivery: str = "direct"
    first_index: int = 0
    burst: int = 64
    redundancy: int = 1
    pace_bps: float | None = None  # of each lane
    start_us: int = 1_000_000
    timeout_us: int = 10_000_000
    stalled_us: int = 60_000_000
    forward: Impairment = CLEAN
    backward: Impairment = CLEAN
    ring_records: int = 1 << 30  # what the receiver's ring buffer holds
    sender_records: int = 1 << 30  # and the sender's
    short_every: int = 0
    sender_packet_us: int = 0  # what sending one takes
    interrupted: float = 0.0  # how often a burst ends early
    sender_poll_us: int = 20
    receiver_poll_us: int = 50  # how long the receiving process is away after something came: a slow consumer
    stopped: tuple[int, int] = (0, 0)  # from, to: the receiving process does not run; since the start
    events_most: int = 400_000
    witness: bool = True
    make_twin: Callable[..., twins.Placement] = twins.Placement
    make_sink: Callable[[], MemorySink] = MemorySink


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How both ends ended ("done" or an error), and what it took."""

    sender: TowlineError | str
    receiver: TowlineError | str | None
    content: bytes | None  # of the receiver's file, None where it did not appear
    sent: bytes
    seconds: float
    sending_seconds: float  # from the first DATA until the sender has seen DONE
    events: int
    packets: int
    packets_sent: int
    overflowed: int  # found the path's queue full
    retransmissions: int
    redundant_copies: int
    probes: int
    counters: dict[str, int]  # the receiver's, summed over lanes
    forged: int  # damaged packets that were believed

    @property
    def good(self) -> bool:
        """The right bytes, and both ends know."""
        return self.sender == self.receiver == "done" and self.content == self.sent


def run(plan: Plan) -> Outcome:
    """Play a schedule to its end. AssertionError: a rule was broken, or there was no end."""
    rng = Random(plan.seed)
    content = rng.randbytes(plan.size_bytes)
    clock = Clock(plan.start_us)
    forward, backward = Path(clock, rng, plan.forward), Path(clock, rng, plan.backward)
    receiver = ReceiverEnd(plan, clock, rng, backward.send)
    sender = SenderEnd(plan, content, clock, forward.send)
    forward.deliver, backward.deliver = receiver.arrive, sender.arrive
    while sender.result is None or (receiver.result is None and receiver.incoming is not None):
        assert clock.advance(), "nothing will ever happen again"
        assert clock.events < plan.events_most, "no end: events"
        assert clock.now - clock.start_us < SECONDS_MOST * 1_000_000, "no end: time"
        if sender.result is None:
            _check_slots(sender, receiver)
    for lane in sender.lanes:
        rules = lane.rules
        assert lane.packets_sent == rules.packets + rules.retransmissions + rules.redundant_copies
    content_there = receiver.sink.content
    assert content_there in (None, content), "the wrong bytes appeared"
    assert sender.result != "done" or content_there == content, "done, and nothing is there"
    assert (receiver.result == "done") <= (content_there == content)
    deliveries = receiver.deliveries.values()
    names = next(iter(deliveries)).twin.counters if deliveries else ()
    return Outcome(
        sender=sender.result,
        receiver=receiver.result,
        content=content_there,
        sent=content,
        seconds=(clock.now - clock.start_us) / 1e6,
        sending_seconds=(sender.ended_us - min((lane.first_sent_us for lane in sender.lanes), default=0)) / 1e6,
        events=clock.events,
        packets=sum(lane.rules.packets for lane in sender.lanes),
        packets_sent=sum(lane.packets_sent for lane in sender.lanes),
        overflowed=forward.overflowed,
        redundant_copies=sum(lane.rules.redundant_copies for lane in sender.lanes),
        retransmissions=sum(lane.rules.retransmissions for lane in sender.lanes),
        probes=sum(lane.rules.probes for lane in sender.lanes),
        counters={name: sum(one.twin.counters[name] for one in deliveries) for name in names},
        forged=forward.forged + backward.forged,
    )


def _check_slots(sender: SenderEnd, receiver: ReceiverEnd) -> None:
    """A slot is filled again only when the receiver has drained its last user; nothing was forged, or this is void."""
    for lane in sender.lanes:
        delivery = receiver.deliveries.get(lane.session)
        if delivery is not None and receiver.incoming is not None:
            drained = receiver.incoming.lanes[lane.session].rules.drained
            assert lane.rules.filled_to <= drained + delivery.slots.window, "a slot was filled before it was drained"
