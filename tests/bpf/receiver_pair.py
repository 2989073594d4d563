# SPDX-License-Identifier: GPL-2.0-only
"""receiver.h and its twin on the same packets: verdicts, replies, slots, records and all that they count."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.bpf.programs import DROP, PASS, TX, ReceiverProgram
from tests.levels import SENDER_TO_RECEIVER, answer_ends, framed, is_in_frame, template
from tests.twins import Placement, data_packet
from towline.wire import Flag, Message, decode_untrusted

VERDICTS = {"drop": DROP, "tx": TX, "pass": PASS}
NUMBERS = ("drained", "cursor", "highest", "pending", "next_word", "told_full", "ready", "advertised")
OF_A_SESSION = ("placed", "duplicates", "useless", "out_of_window", "ring_full", "acks", "full_nacks")
FAULTS = ("corrupt", "malformed")
FRAME_LEAST_BYTES = 60  # shorter ones are padded, as an interface would


class ReceiverPair:
    """Say `data` or `hear`; `compare` looks at all that the two know."""

    def __init__(self, program: ReceiverProgram, *, ring_size: int = 1 << 16, **more: Any) -> None:
        self.program = program
        self.session = program.open(ring_size=ring_size, **more)
        self.level = self.session.level
        self.known = template(self.level, SENDER_TO_RECEIVER)
        terms = self.session.terms
        self.is_ring = terms.delivery == "ring"
        self.memory = np.zeros((terms.window, terms.payload_size), np.uint8)  # the twin's slots
        self.recorded: list[tuple[int, int, bytes]] = []  # the twin's ring: index, length, committed bytes
        self.room = (ring_size - 1) // (8 + program.xdp._record.itemsize)  # the kernel's ring is never quite full
        self.twin = Placement(
            session=self.session.number,
            window=terms.window,
            payload_size=terms.payload_size,
            ack_every=terms.ack_every,
            ring=self.is_ring,
            store=self._store,
            first_index=int(self.session.state["drained"]),
            short_every=int(self.session.state["short_every"]),
        )

    @property
    def number(self) -> int:
        """The session's."""
        return self.session.number

    def data(
        self, index: int, payload: bytes, flags: Flag = Flag.NONE, timestamp: int = 0
    ) -> tuple[int, Message | None]:
        """A DATA packet as the sender makes it; the verdict, and the reply if there is one."""
        return self.hear(data_packet(self.number, index, payload, flags, timestamp))

    def whole(self, packet: bytes) -> bytes:
        """A packet in the session's frame."""
        return framed(self.level, SENDER_TO_RECEIVER, packet)

    def hear(self, packet: bytes, frame: bytes | None = None) -> tuple[int, Message | None]:
        """Both take a packet and must agree; then both are compared to the last bit."""
        verdict, reply = self.run(self.whole(packet) if frame is None else frame + packet)
        self.compare()
        return verdict, decode_untrusted(reply) if reply is not None else None

    def run(self, whole: bytes) -> tuple[int, bytes | None]:
        """Both take a frame: they must agree on the verdict, and on every byte of the reply (without its frame)."""
        verdict, after = self.program.run(whole)
        said, reply = "pass", None
        if is_in_frame(self.level, whole, self.known):
            said, reply = self.twin.receive(whole[self.level.frame_bytes :])
        assert VERDICTS[said] == verdict, (VERDICTS[said], verdict, whole.hex())
        if reply is None:
            assert after == whole
        else:
            expected = framed(self.level, answer_ends(self.level, whole), reply)
            assert after == expected.ljust(FRAME_LEAST_BYTES, b"\0"), whole.hex()
        return verdict, reply

    def drain(self, to: int) -> None:
        """The process lets go of every packet below."""
        self.session.state["drained"] = self.twin.drained = to & 0xFFFFFFFF

    def want(self, *indices: int) -> None:
        """The process takes packets back."""
        for index in indices:
            self.program.want(self.session, index)
        self.twin.want(list(indices))

    def take(self) -> list[tuple[int, int, bytes]]:
        """Delivery ring: what stands in both rings, which must be the same; taken out."""
        found = self.session.records()
        assert found == self.recorded
        self.recorded.clear()
        return found

    def compare(self) -> None:
        """Everything but what still stands in a ring."""
        state, twin = self.session.state, self.twin
        expected = {name: int(getattr(twin, name)) for name in NUMBERS}
        assert {name: int(state[name]) for name in NUMBERS} == expected
        counters = self.session.counters()
        names = (*OF_A_SESSION, *FAULTS)
        assert {name: counters[name] for name in names} == {name: twin.counters[name] for name in names}
        assert np.array_equal(state["arrived"], np.array(twin.arrived, np.uint64))
        wanted = np.flatnonzero(np.unpackbits(state["wanted"].view(np.uint8), bitorder="little"))
        assert set(wanted.tolist()) == twin.wanted
        if not self.is_ring:
            assert np.array_equal(self.session.rows(), self.memory)
        assert int(state["lock"]) == 0

    def _store(self, slot: int, index: int, payload: bytes, length: int) -> bool:
        if self.is_ring and len(self.recorded) >= self.room:
            return False
        if self.is_ring:
            self.recorded.append((index, length, payload))
        else:
            self.memory[slot, : len(payload)] = np.frombuffer(payload, np.uint8)
        return True
