# SPDX-License-Identifier: GPL-2.0-only
"""A path with its emulator and a worker at either end, which carry out one random transfer after another."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from towline.errors import FileError, UnconfirmedError
from towline.lab import leftovers, verify
from towline.lab.emulator.impairments import Impairments
from towline.lab.environments import veth
from towline.lab.run import impairments_of, level_of, target_of
from towline.lab.soak.plan import SIZE_MOST, Plan
from towline.lab.soak.worker import Order, Over, Receive, Send
from towline.settings import LARGEST_MTU
from towline.transfer import events

LANES = 2
HANGS_S = 60.0
_LAST_WORDS_S = 0.3  # for a worker to say where it is
_ENDING_S = 5.0

Heard = (
    events.Ready
    | events.Started
    | events.Note
    | events.Progress
    | events.Sample
    | events.Finished
    | events.Parted
    | events.Failed
    | Over
)
_DECODER = msgspec.json.Decoder(Heard)


class Worker:
    """One running worker. `over` is the answer to the last order; while it is `busy` with it, None."""

    def __init__(self, side: str, command: list[str]) -> None:
        self.side = side
        self.ready = False
        self.finished: events.Finished | None = None
        self.over: Over | None = None
        self.busy = False
        self.ended = False
        self._rest = b""
        self._said_bytes = 0
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `end`)
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            bufsize=0,
            process_group=0,
        )

    @property
    def error(self) -> str | None:
        """The name of what ended the last order badly."""
        return self.over.error if self.over else None

    @property
    def stdout(self) -> Any:
        """Where its events come from."""
        return self.process.stdout

    def tell(self, order: Order) -> None:
        """Give an order."""
        self.ready, self.finished, self.over, self.busy = False, None, None, True
        self._said_bytes = os.fstat(self._stderr.fileno()).st_size
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # its end is noticed where it is heard
            self.process.stdin.write(msgspec.json.encode(order) + b"\n")

    def hear(self) -> None:
        """Take in what it says; waits where it says nothing."""
        data = os.read(self.stdout.fileno(), 1 << 16)
        if not data:
            self.ended = self.busy = True  # it will not do another one
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            match _DECODER.decode(line):
                case events.Ready():
                    self.ready = True
                case events.Finished() as finished:
                    self.finished = finished
                case Over() as over:
                    self.over, self.busy = over, False
                case _:
                    pass

    def last_words(self) -> str:
        """What it has said on stderr since the last order, and where its threads are, if it is busy."""
        if self.busy and self.process.poll() is None:
            self.process.send_signal(signal.SIGUSR1)
            time.sleep(_LAST_WORDS_S)
        self._stderr.seek(self._said_bytes)
        said = self._stderr.read().decode(errors="replace").strip()
        code = self.process.poll()
        return "\n".join(filter(None, (said, "" if code is None else f"it ended with {code}")))

    def end(self) -> None:
        """It is gone afterwards."""
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(_ENDING_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._stderr.close()


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a transfer ended. `problem` is None where all is well.

    `unconfirmed`: the sender has not seen DONE over a path that loses frames, and says so; the file is right.
    """

    plan: Plan
    seconds: float
    problem: str | None
    log: str = ""
    unconfirmed: bool = False
    replaced: bool = False  # the workers are other ones from here on
    record: dict[str, Any] = field(default_factory=dict)
    held: dict[str, Over] = field(default_factory=dict)  # by side: what the workers hold on to


class Rig:
    """Give it one plan at a time. `folder` is where files arrive, and stays empty between transfers."""

    def __init__(self, path: veth.Path, folder: Path) -> None:
        self.path = path
        self.folder = folder
        self._workers: dict[str, Worker] = {}
        self._selector = selectors.DefaultSelector()

    def close(self) -> None:
        """The workers are gone afterwards."""
        for worker in self._workers.values():
            self._selector.unregister(worker.stdout)
            worker.end()
        self._workers.clear()

    def worker(self, side: str) -> Worker:
        """`sender` or `receiver`; it is started where it does not run."""
        if side not in self._workers:
            end: veth.End = getattr(self.path, side)
            worker = Worker(side, end.command(sys.executable, "-m", "towline.lab.soak.worker"))
            self._workers[side] = worker
            self._selector.register(worker.stdout, selectors.EVENT_READ, worker)
        return self._workers[side]

    def carry_out(self, plan: Plan, *, hangs_s: float = HANGS_S) -> Outcome:
        """One transfer, verified; whatever happens to it, the next one finds workers that answer."""
        began = time.monotonic()
        assert self.path.emulator is not None
        self.path.emulator.set(impairments_of(plan.run()) or Impairments())
        sender, receiver = self.worker("sender"), self.worker("receiver")
        self._transfer(plan, sender, receiver, began + hangs_s)
        record = {k: v for one in (receiver, sender) if one.finished for k, v in one.finished.record.items()}
        problem = self._problem(plan, sender, receiver) or _contradiction(plan, record)
        outcome = Outcome(
            plan=plan,
            seconds=time.monotonic() - began,
            problem=problem,
            log=_log(sender, receiver) if problem else "",
            unconfirmed=problem is None and sender.error == UnconfirmedError.__name__,
            replaced=sender.busy or receiver.busy,
            record=record,
            held={one.side: one.over for one in (sender, receiver) if one.over},
        )
        if outcome.replaced:
            self.close()
        for one in self.folder.iterdir():
            one.unlink()
        return outcome

    def _transfer(self, plan: Plan, sender: Worker, receiver: Worker, deadline: float) -> None:
        """Have both workers do their part, or at least try to until then."""
        receiver.tell(_receive(plan, self.path, self.folder))
        self._listen(lambda: receiver.ready or not receiver.busy, deadline)
        if receiver.ready:
            sender.tell(_send(plan, self.path))
            self._listen(lambda: not sender.busy and not receiver.busy, deadline)

    def _listen(self, done: Callable[[], bool], deadline: float) -> None:
        while not done() and (left := deadline - time.monotonic()) > 0:
            for key, _ in self._selector.select(left):
                key.data.hear()
                if key.data.ended:
                    return

    def _problem(self, plan: Plan, sender: Worker, receiver: Worker) -> str | None:
        """What is wrong with how the workers ended, or with what has arrived; None where all is well."""
        problems = [f"the {one.side} has ended" for one in (sender, receiver) if one.ended]
        problems += [f"the {one.side} is not done" for one in (sender, receiver) if one.busy and not one.ended]
        for one in (sender, receiver):
            excused = one.error == UnconfirmedError.__name__ and plan.impaired
            if one.over is not None and one.error is not None and not excused:
                problems.append(f"{one.side}: {one.error}: {one.over.said} {one.over.where}".strip())
            if one.over is not None and one.over.bpf_objects:
                problems.append(f"the {one.side} holds on to {one.over.bpf_objects} BPF objects")
        return "; ".join(problems) or self._wrong_file(plan, receiver)

    def _wrong_file(self, plan: Plan, receiver: Worker) -> str | None:
        path = receiver.finished.path if receiver.finished else None
        if path is None:
            return "the receiver told no file"
        try:
            if not verify.same(verify.source_chunks(plan.size_bytes, plan.seed), Path(path)):
                return "the file differs from its source"
        except OSError as error:
            return str(FileError(path, error.strerror or "cannot be read"))
        others = [one.name for one in self.folder.iterdir() if one != Path(path)]
        return f"left in the folder: {', '.join(others)}" if others else None


def _log(*workers: Worker) -> str:
    said = [(worker.side, worker.last_words()) for worker in workers]
    return "\n".join(f"{side}:\n{words}" for side, words in said if words)


def _contradiction(plan: Plan, record: dict[str, Any]) -> str | None:
    """What a record says that cannot be, or that was not planned: a fallback, packets that nobody counted."""
    for name in ("datapath_sender", "datapath_receiver", "delivery", "lanes", "redundancy", "checksum"):
        planned = getattr(plan.settings, name)
        if name in record and planned is not None and record[name] != planned:
            return f"{name} was {record[name]}"
    if "packets_sent" in record:
        sent = sum(record[name] for name in ("packets", "retransmissions", "redundant_copies"))
        if record["packets_sent"] != sent:
            return f"{record['packets_sent']} packets were sent, and {sent} were to be"
    return None


def _receive(plan: Plan, path: veth.Path, folder: Path) -> Receive:
    settings = plan.settings
    if plan.serves_all:
        settings = settings.replace(level=None)
    return Receive(interface=path.receiver.interface, mtu=plan.mtu, output=str(folder), settings=settings)


def _send(plan: Plan, path: veth.Path) -> Send:
    return Send(
        interface=path.sender.interface,
        mtu=plan.mtu,
        target=target_of(path, level_of(plan.settings)),
        size_bytes=plan.size_bytes,
        seed=plan.seed,
        settings=plan.settings,
    )


@contextmanager
def rig() -> Iterator[Rig]:
    """A rig with its namespaces; everything is gone afterwards."""
    with ExitStack() as stack:
        path = stack.enter_context(veth.veth(lanes=LANES, mtu=LARGEST_MTU, impairments=Impairments()))
        folder = stack.enter_context(leftovers.temporary_folder(SIZE_MOST))
        one = Rig(path, folder)
        stack.callback(one.close)
        yield one
