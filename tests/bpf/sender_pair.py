# SPDX-License-Identifier: GPL-2.0-only
"""sender.bpf.c and its twin on the same packets: whatever one of them makes of a packet, the other must make of it."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from tests.bpf.programs import DROP, PASS, SenderProgram
from tests.levels import SENDER_TO_RECEIVER, framed, is_in_frame, template
from tests.twins import Acknowledgements
from towline.wire import Flag, Kind, Message, encode

VERDICTS = {"drop": DROP, "pass": PASS}
FRAME_LEAST_BYTES = 60  # shorter ones are padded, as an interface would
RING_RECORD_BYTES = 8 + 16  # the ring's header and struct acknowledgement
NUMBERS = ("base", "limit", "highest", "useless", "acks", "nacks", "full_nacks", "ring_full", "impossible")
FAULTS = ("corrupt", "malformed", "rtt_samples")


class SenderPair:
    """Say `ack`, `nack` or `hear`; both are compared after each packet, to the last bit of their bitmaps."""

    def __init__(self, program: SenderProgram, *, ring_size: int = 1 << 16, **more: Any) -> None:
        self.program = program
        self.lane = program.lane(ring_size=ring_size, **more)
        self.level = self.lane.level
        self.known = template(self.level, SENDER_TO_RECEIVER.turned())
        self.state = self.lane.state
        self.is_ring = self.lane.terms.delivery == "ring"
        self.recorded: list[tuple[int, int, int, int]] = []  # what the twin has in its ring
        self._room = (ring_size - 1) // RING_RECORD_BYTES  # the kernel's ring is never quite full
        self.twin = Acknowledgements(
            session=self.lane.session,
            window=self.lane.terms.window,
            ring=self.is_ring,
            submit=self._submit,
            first_index=int(self.state["base"]),
        )

    def sent(self, end: int) -> None:
        """Everything below has been scheduled."""
        self.state["sent_end"] = self.twin.sent_end = end & 0xFFFFFFFF

    def ack(self, base: int, highest: int | None = None, *words: int, **more: Any) -> int:
        """An ACK; without `first` its words begin with the one that holds base. Returns the verdict."""
        base &= 0xFFFFFFFF
        highest = base if highest is None else highest & 0xFFFFFFFF
        limit = more.get("limit", base + self.lane.terms.window) & 0xFFFFFFFF
        fields = {
            "limit": limit,
            "highest": highest,
            "first": more.get("first", base // 64) & 0x3FFFFFF,
            "useless": more.get("useless", 0),
        }
        message = Message(
            kind=Kind.ACK,
            session=more.get("session", self.lane.session),
            index=base,
            timestamp=more.get("timestamp", 0),
            fields=fields,
            tail=b"".join(word.to_bytes(8) for word in words),
        )
        return self.hear(encode(message))

    def nack(self, *ranges: tuple[int, int], flags: Flag = Flag.NONE) -> int:
        """A NACK; returns the verdict."""
        tail = b"".join(number.to_bytes(4) for both in ranges for number in both)
        return self.hear(encode(Message(kind=Kind.NACK, flags=flags, session=self.lane.session, tail=tail)))

    def whole(self, packet: bytes) -> bytes:
        """A packet in the frame in which the receiver answers."""
        return framed(self.level, SENDER_TO_RECEIVER.turned(), packet)

    def hear(self, packet: bytes, frame: bytes | None = None) -> int:
        """Both take a packet and are compared; returns the verdict."""
        whole = self.whole(packet) if frame is None else frame + packet
        verdict = self.run(whole.ljust(FRAME_LEAST_BYTES, b"\0"))
        self.compare(time.monotonic_ns() // 1000)
        return verdict

    def run(self, whole: bytes) -> int:
        """Both take a frame and must agree on the verdict, which goes with the frame as it was."""
        verdict, after = self.program.run(whole)
        assert after == whole
        said = "pass"
        if is_in_frame(self.level, whole, self.known):
            said = self.twin.receive(whole[self.level.frame_bytes :], time.monotonic_ns() // 1000)
        assert VERDICTS[said] == verdict, (VERDICTS[said], verdict, whole.hex())
        return verdict

    def records(self) -> list[tuple[int, int, int, int]]:
        """What stands in the rings, which must be the same: (kind, flags, first, count) each; taken out."""
        found = self.lane.records()
        assert found == self.recorded
        self.recorded.clear()
        return found

    def compare(self, now: int) -> None:
        """All that the two know."""
        state, twin = self.state, self.twin
        assert {name: int(state[name]) for name in NUMBERS + FAULTS} == {
            name: getattr(twin, name) for name in NUMBERS + FAULTS
        }
        assert np.array_equal(state["acknowledged"], np.array(twin.acknowledged, np.uint64))
        if not self.is_ring:
            near = int(state["base"])
            ours, theirs = self.lane.live.hear(now).known, twin.snapshot(near, now)
            for name in ("missing", "shown_us"):
                assert np.array_equal(getattr(ours, name) & 0xFFFFFFFF, getattr(theirs, name) & 0xFFFFFFFF), name
        assert int(state["lock"]) == 0

    def _submit(self, kind: int, flags: int, first: int, count: int) -> bool:
        if len(self.recorded) >= self._room:
            return False
        self.recorded.append((int(kind), int(flags), first & 0xFFFFFFFF, count))
        return True
