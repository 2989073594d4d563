# SPDX-License-Identifier: GPL-2.0-only
"""How sessions move, from looks at them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from towline.running.sessions import Session
from towline.wire import INDEX_MASK


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Between two looks; None: nothing moved, or only the other side knows. `gbps`: payload, in 1e9 bits a second;
    `loss_share`: of the packets sent, those that had to be sent again; not those that were so without need.
    """

    gbps: float | None
    packets_per_ack: float | None
    again_share: float | None
    loss_share: float | None


def rates(before: Session, after: Session, seconds: float) -> Rates:
    """`seconds`: between the looks."""
    packets = (after.packets - before.packets) & INDEX_MASK
    acks = after.counters["acks"] - before.counters["acks"]
    again = loss = None
    if before.retransmissions is not None and after.retransmissions is not None:
        repeated = max(0, after.retransmissions - before.retransmissions)
        useless = (after.counters["useless"] - before.counters["useless"]) & INDEX_MASK
        sent = after.counters["sent"] - before.counters["sent"]
        again = repeated / packets if packets else None
        loss = max(0, repeated - useless) / sent if sent > 0 else None
    return Rates(
        gbps=packets * after.payload_size * 8 / seconds / 1e9 if seconds > 0 else None,
        packets_per_ack=packets / acks if acks > 0 else None,
        again_share=again,
        loss_share=loss,
    )


class Meter:
    """The payload rate of several sessions together over the last `over_s` seconds; look at them often."""

    def __init__(self, over_s: float) -> None:
        self._over_s = over_s
        self._looks: deque[tuple[float, dict[int, Session]]] = deque()

    def look(self, found: Sequence[Session], now: float) -> None:
        """What there is now (seconds of one clock)."""
        self._looks.append((now, {one.number: one for one in found}))
        while len(self._looks) > 2 and now - self._looks[1][0] >= self._over_s:
            self._looks.popleft()

    def restart(self) -> None:
        """What was seen until now does not count any more."""
        while len(self._looks) > 1:
            self._looks.popleft()

    @property
    def gbps(self) -> float | None:
        """In 1e9 bits a second; None before the second look."""
        if len(self._looks) < 2:
            return None
        (then, before), (now, after) = self._looks[0], self._looks[-1]
        both = [rates(before[number], one, now - then) for number, one in after.items() if number in before]
        return sum(one.gbps or 0.0 for one in both)
