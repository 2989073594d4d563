# SPDX-License-Identifier: GPL-2.0-only
"""A receiving process is killed at each moment at which something of it outlives it; the next one goes on.

What is real: rules, blocks, files, what is written down. What is not: the kernel (all packets stand in their slots
already, and are there as long as they are not drained), pins (a dict), and the socket (a list).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import numpy as np
import pytest

from towline.errors import IntegrityError, MalformedError
from towline.kernel.memory import Map
from towline.kernel.objects import describe_map
from towline.protocol.opening import Terms
from towline.protocol.receiver import packets_per_block
from towline.settings import Settings
from towline.slots import Slots
from towline.sockets.port import Peer
from towline.transfer.digest import block_digest, trailer
from towline.transfer.files import FileSink, RandomSource
from towline.transfer.incoming import Incoming, Stage
from towline.transfer.persist.keeping import Keeping
from towline.transfer.persist.ledger import Blocks, Facts, Ledger
from towline.transfer.persist.resumption import Resumption, left_untrusted
from towline.transfer.stream import Entry, OutgoingStream
from towline.wire import Kind, Message

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root (CAP_BPF)")

SESSION, LANE, FIRST, PAYLOAD = 0x7777_0000, 0, 5, 100
WINDOW = 1024
SETTINGS = Settings(sink="file")
PEER = Peer(mac=b"\2\0\0\0\0\1")
NAME = "the file"
STEPS_MOST = 100


class Killed(BaseException):
    """At once, wherever it is."""


class Killer:
    """Kills at the moment of that number; None: never. What is killed already does nothing any more."""

    def __init__(self) -> None:
        self.at: int | None = None
        self.moment = 0

    def arm(self, at: int | None) -> None:
        self.at, self.moment = at, 0

    def tick(self) -> None:
        self.moment += 1
        if self.at is not None and self.moment > self.at:
            raise Killed

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with a moment before it and one behind it."""

        def wrapped(*arguments: Any, **named: Any) -> Any:
            self.tick()
            result = function(*arguments, **named)
            self.tick()
            return result

        return wrapped


class FakePins:
    """Keeps maps; whoever asks for one gets a descriptor of his own."""

    def __init__(self) -> None:
        self.kept: dict[str, Map] = {}

    def keep(self, name: str, which: Map) -> None:
        assert name not in self.kept
        self.kept[name] = describe_map(os.dup(which.fd))

    def map(self, name: str) -> Map:
        if name not in self.kept:
            raise FileNotFoundError(name)
        return describe_map(os.dup(self.kept[name].fd))

    def names(self, start: str) -> list[str]:
        return sorted(name for name in self.kept if name.startswith(start))

    def remove(self, name: str) -> None:
        if one := self.kept.pop(name, None):
            one.close()


class FakeDelivery:
    """Everything has come."""

    def __init__(self, slots: Slots, end: int) -> None:
        self.slots = slots
        self.ready = self.highest = self.advertised = end

    def collect(self) -> bool:
        return False

    def wanted(self) -> Any:
        return np.arange(0)

    def drained(self, index: int) -> None:
        pass

    def counters(self) -> dict[str, int]:
        return {"placed": 0}


class Transfer:
    """One file as a sender has sent it, to be received again and again."""

    def __init__(self, size_bytes: int, block_bytes: int) -> None:
        self.terms = Terms(payload_size=PAYLOAD, ack_every=8, window=WINDOW, block_bytes=block_bytes, delivery="direct")
        self.source = RandomSource(size_bytes, 1)
        entry = Entry(name=NAME, size_bytes=size_bytes, mode=0o640, mtime_ns=1_700_000_000_000_000_000)
        stream = OutgoingStream(entry, self.source, block_bytes)
        memory = np.zeros(WINDOW * PAYLOAD, np.uint8)
        self.slots = Slots(memory, window=WINDOW, payload_size=PAYLOAD)
        self.packets = 0
        while taken := stream.take():
            number, size = taken
            content = np.zeros(size, np.uint8)
            stream.read_into([content], number, 0)
            digest = block_digest(number, [content])
            stream.add_digest(number, digest)
            whole = content.tobytes() + trailer(number, digest)
            at = 0
            for view in self.slots.pieces(FIRST + self.packets, 0, len(whole)):
                view[:] = np.frombuffer(whole[at : at + len(view)], np.uint8)
                at += len(view)
            self.packets += packets_per_block(size, PAYLOAD)
        assert self.packets < WINDOW
        self.stream_bytes = stream.stream_bytes
        self.digest = stream.digest.whole(stream.blocks)

    def delivery(self) -> Any:
        return FakeDelivery(self.slots, FIRST + self.packets)

    @property
    def fin(self) -> Message:
        fields = {"packets": self.packets, "stream_bytes": self.stream_bytes}
        return Message(kind=Kind.FIN, session=SESSION, fields=fields)


class FakeReceiver:
    """Has the session of the transfer open, as the predecessor has left it."""

    def __init__(self, transfer: Transfer) -> None:
        self._transfer = transfer
        self.open: set[int] = set()

    def has(self, session: int) -> bool:
        return session in self.open

    def resume(self, session: int, terms: Terms, drained: int) -> Any:
        if session != SESSION or terms != self._transfer.terms:
            raise MalformedError("another session")
        self.open.add(session)
        return self._transfer.delivery()

    def close_session(self, session: int) -> None:
        self.open.remove(session)

    def forget_others(self) -> None:
        pass

    def recover(self) -> None:
        pass


class Process:
    """One life of a receiving process; its descriptors end with it, as the kernel sees to."""

    def __init__(self, transfer: Transfer, pins: FakePins, folder: Path, killer: Killer, *, overwrite: bool) -> None:
        self.transfer, self.pins, self.folder, self.killer, self.overwrite = transfer, pins, folder, killer, overwrite
        self.said: list[Message] = []
        self.problems: list[str] = []
        self.incoming: Incoming | None = None
        self.keeping: Keeping | None = None

    def live(self) -> bool:
        """Whether the sender was told that it is done; Killed."""
        control = SimpleNamespace(
            inboxes=[SimpleNamespace(port=SimpleNamespace(level=SimpleNamespace(name="ethernet")))],
            send=lambda port, message, peer: self._reply(message),
        )
        resumption = Resumption(
            cast(Any, self.pins),
            cast(Any, FakeReceiver(self.transfer)),
            cast(Any, control),
            self.folder,
            SETTINGS,
            overwrite=self.overwrite,
        )
        left = left_untrusted(cast(Any, self.pins), self.problems.append)
        for _, incoming, keeping in resumption.go_on(left, self.problems.append):
            self.incoming, self.keeping = incoming, keeping
        if self.incoming is None:
            self._begin()
        assert self.incoming is not None
        assert self.keeping is not None
        if SESSION not in self.incoming.lanes:  # its HELLO comes, or comes again
            self.incoming.add(SESSION, LANE, FIRST, self.transfer.delivery())
        for step in range(STEPS_MOST):
            self.incoming.step(step)
            if step > 1:  # the FIN comes behind the last packet, and the process has seen some by then
                self.incoming.heed(self.transfer.fin, step)
            if any(message.kind is Kind.DONE for message in self.said):
                self.incoming.heed(Message(kind=Kind.CLOSE, session=SESSION), step)
            if self.incoming.stage is Stage.OVER:
                self.keeping.end()
                return True
            if self.incoming.recheck:
                self.incoming.recheck._thread.join()
        return False

    def _begin(self) -> None:
        origin = SimpleNamespace(level=SimpleNamespace(name="ethernet"), peer=PEER, reply_to=PEER)
        self.keeping = Keeping.of(
            cast(Any, self.pins), self.folder, cast(Any, origin), 1, 1, self.transfer.terms, rtt_us=100
        )
        self.incoming = Incoming(
            peer=PEER,
            lanes=1,
            terms=self.transfer.terms,
            sink=FileSink(self.folder, overwrite=self.overwrite, kept=self.keeping.facts.part),
            timeout_us=10_000_000,
            stalled_us=60_000_000,
            rtt_us=100,
            now=0,
            reply=self._reply,
            keeper=self.keeping,
        )

    def _reply(self, message: Message) -> None:
        if message.kind is Kind.DONE:
            self.killer.tick()
        self.said.append(message)
        if message.kind is Kind.DONE:
            self.killer.tick()

    def end(self) -> None:
        """What the kernel does when a process ends."""
        if self.incoming is not None:
            with suppress(Exception):
                if self.incoming.recheck:
                    self.incoming.recheck.stop()
            cast(Any, self.incoming.sink)._close()
        if self.keeping is not None:
            self.keeping.close()


@pytest.fixture
def killer(monkeypatch: pytest.MonkeyPatch) -> Killer:
    """At what outlives a process there are moments."""
    made = Killer()
    for owner, name in (
        (Ledger, "write"),
        (Ledger, "drained"),
        (FakePins, "keep"),
        (FakePins, "remove"),
        *((os, name) for name in ("pwritev", "fsync", "fchmod", "ftruncate", "utime", "link", "rename", "unlink")),
    ):
        monkeypatch.setattr(owner, name, made.around(getattr(owner, name)))
    mark = Blocks.mark

    def marked(self: Blocks, number: int, digest: bytes) -> None:
        made.tick()
        self._memory["digests"][number] = np.frombuffer(digest, np.uint8)
        made.tick()
        mark(self, number, digest)
        made.tick()

    monkeypatch.setattr(Blocks, "mark", marked)
    return made


@contextmanager
def life(*arguments: Any, **named: Any) -> Iterator[Process]:
    """A process that is gone afterwards."""
    one = Process(*arguments, **named)
    try:
        yield one
    finally:
        one.killer.arm(None)
        one.end()


def received(folder: Path, transfer: Transfer) -> None:
    """The file, and nothing else."""
    assert [path.name for path in folder.iterdir()] == [NAME]
    content = np.zeros(transfer.source.size_bytes, np.uint8)
    transfer.source.read_into([content], 0)
    found = folder / NAME
    assert found.read_bytes() == content.tobytes()
    assert found.stat().st_mode & 0o777 == 0o640


SHAPES = [(2500, 700), (900, 30), (0, 700), (3000, 4096)]  # the entry in one block, in several; no bytes; one block


@pytest.mark.parametrize("overwrite", [False, True], ids=["link", "rename"])
@pytest.mark.parametrize(("size_bytes", "block_bytes"), SHAPES)
def test_resumption__killed_at_each_moment(
    tmp_path: Path, killer: Killer, size_bytes: int, block_bytes: int, overwrite: bool
) -> None:
    transfer = Transfer(size_bytes, block_bytes)
    for at in range(1, 1000):
        folder, pins = tmp_path / str(at), FakePins()
        folder.mkdir()
        lives = 0
        moment: int | None = at
        told = False
        while not told:
            with life(transfer, pins, folder, killer, overwrite=overwrite) as process:
                killer.arm(moment)
                with suppress(Killed):
                    assert process.live(), process.problems
                told = any(message.kind is Kind.DONE for message in process.said)
                assert process.problems == []
            # The second life is killed as well, somewhere else; the third one lives.
            lives += 1
            moment = (at * 7) % 11 if lives == 1 else None
            assert lives <= 4
        with life(transfer, pins, folder, killer, overwrite=overwrite) as process:  # if told, and killed before CLOSE
            if pins.names("transfer-"):
                assert process.live(), process.problems
        received(folder, transfer)
        assert pins.names("transfer-") == []
        if lives == 1 and moment is not None:
            return  # it was over before that moment
    pytest.fail("it never came to an end")


def test_resumption__what_was_altered_is_not_believed(tmp_path: Path, killer: Killer) -> None:
    transfer, pins = Transfer(2500, 700), FakePins()
    with life(transfer, pins, tmp_path, killer, overwrite=False) as process:
        killer.arm(25)
        with pytest.raises(Killed):
            process.live()
    [part] = tmp_path.iterdir()
    content = bytearray(part.read_bytes())
    content[10] ^= 1
    part.write_bytes(content)
    with (
        life(transfer, pins, tmp_path, killer, overwrite=False) as process,
        pytest.raises(IntegrityError, match="altered"),
    ):
        process.live()


def changed(pins: FakePins, change: Callable[[Facts], Facts]) -> None:
    """Other facts than those that were written."""
    [name] = pins.names("transfer-")
    ledger = Ledger(pins.map(name))
    facts = ledger.read_untrusted()
    ledger.write(change(facts))
    ledger.close()


HOSTILE: dict[str, dict[str, Any]] = {
    "a name with a slash": {"part": "../../etc/passwd"},
    "another name": {"part": "somebody's"},
    "an address of three bytes": {"reply_to": Peer(mac=b"123")},
    "a port beyond": {"reply_to": Peer(mac=PEER.mac, port=70000)},
    "another file": {"inode": (1, 1)},
    "no file": {"inode": None},
    "no level": {"level": "nowhere"},
    "a head that is none": {"head": b"\0\0\0\4abcd"},
    "deep": {"head": (60_000).to_bytes(4, "big") + b"\x91" * 60_000},
    "a level that is not served": {"level": "udp6"},
    "no time": {"rtt_us": -1},
    "no lanes": {"lanes": 0},
    "a window that is none": {
        "terms": Terms(payload_size=PAYLOAD, ack_every=8, window=1000, block_bytes=700, delivery="direct")
    },
}


@pytest.mark.parametrize("changes", HOSTILE.values(), ids=HOSTILE.keys())
def test_resumption__hostile_facts_are_dropped(tmp_path: Path, killer: Killer, changes: dict[str, Any]) -> None:
    transfer, pins = Transfer(2500, 700), FakePins()
    with life(transfer, pins, tmp_path, killer, overwrite=False) as process:
        killer.arm(25)
        with pytest.raises(Killed):
            process.live()
    changed(pins, lambda facts: msgspec.structs.replace(facts, **changes))
    problems: list[str] = []
    left = left_untrusted(cast(Any, pins), problems.append)
    control = SimpleNamespace(inboxes=[SimpleNamespace(port=SimpleNamespace(level=SimpleNamespace(name="ethernet")))])
    receiver = FakeReceiver(transfer)
    resumption = Resumption(
        cast(Any, pins), cast(Any, receiver), cast(Any, control), tmp_path, SETTINGS, overwrite=False
    )
    assert list(resumption.go_on(left, problems.append)) == []
    assert len(problems) == 1
    assert problems[0].startswith("a transfer that was left cannot go on: ")
    assert pins.kept == {}
    assert receiver.open == set()
