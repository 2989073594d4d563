# SPDX-License-Identifier: GPL-2.0-only
"""What a swap costs: `python -m benchmarks.swaps`, as root. One long transfer, thousands of swaps, distributions.

Measured of each swap: from the command to its effect (the link update to the first packet of a session that the new
program took, as user space sees it), and the gap (between the last packet that the old program took and the first that
the new one did, as the programs see it). What a gap means is shown by all the others: a sender pauses between bursts,
too. So the same is measured before a source that never pauses (steady.py). And, of files that are saved under
`towline kernel watch`, from the saving to the first packet that the new program took, with clang and verifier.
"""

from __future__ import annotations

import argparse
import random
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.swaps.distributions import PERCENTILES, Distributions, draw, percentiles, random_moments, rows
from benchmarks.swaps.steady import WHAT, block, measure_steady
from benchmarks.swaps.turns import COUNT, POLICY_FILES, away_from_lanes, take_turns
from towline.bpf import FOLDER
from towline.errors import RunError
from towline.kernel.successor import states
from towline.lab.children import Children, children, towline_command
from towline.lab.environments import veth
from towline.parameter import Role
from towline.quantities import parse_size
from towline.running.places import Place, place_called
from towline.running.swap import Swapper
from towline.transfer import events

__all__ = ["COUNT", "PROGRAMS", "Role", "Swaps", "measure", "measure_saved", "saved_line", "table", "transfer"]

SIZE_BYTES = 100 << 30
SAVES = 40
SAVE_PAUSE_S = 0.3
FOR_EVER_BYTES = 1 << 44
READY_S = 60.0
LOOK_S = 200e-6
# What takes turns. A sender has no policies: the same program by other flags.
PROGRAMS: dict[Role, list[tuple[Path, tuple[str, ...]]]] = {
    "receiver": [(path, ()) for path in POLICY_FILES],
    "sender": [(FOLDER / "sender.bpf.c", (flag,)) for flag in ("-O2", "-O1", "-Os")],
}


@dataclass(frozen=True, kw_only=True)
class Swaps(Distributions):
    """Of one side."""

    side: Role
    records: dict[str, dict[str, Any]]  # of both sides


def measure(side: Role, count: int = COUNT, size_bytes: int = SIZE_BYTES, seed: int = 0) -> Swaps:
    """Swap in one transfer; it goes on until all is sent, verified. RunError where a side failed, or was too fast."""
    with transfer(size_bytes, "--watch-gaps") as (path, family, seen):

        def pause(seconds: float) -> None:
            family.wait_until(lambda: False, seconds, seen.note)

        with away_from_lanes(), Swapper(_place(path, side)) as swapper:
            programs = [swapper.load(source, flags=flags) for source, flags in PROGRAMS[side]]
            figures = take_turns(swapper, programs, count, random.Random(seed), pause)
            histogram = programs[0].memory("gaps", "gaps")[0]["histogram"].copy()
        family.wait_until(family.all_ended, None, seen.note)
        for child in family.failed():
            raise child.error()
    if len(figures) < count:
        raise RunError("bench", f"the transfer was over after {len(figures)} of {count} swaps: send more with --size")
    replace, effect, gap = np.array(figures).T
    return Swaps(
        side=side,
        replace_us=replace,
        effect_us=effect,
        gap_us=gap,
        other_gaps_us=random_moments(histogram),
        records=seen.records,
    )


def measure_saved(count: int = SAVES) -> NDArray[np.float64]:
    """Milliseconds from a file's saving to the effect of what stands in it, of each save. RunError where a side, or who
    watches the file, has failed.
    """
    found = []
    with transfer(FOR_EVER_BYTES) as (path, family, seen), TemporaryDirectory(prefix="towline-swaps-") as folder:
        place, file = _place(path, "receiver"), Path(folder) / "saved.bpf.c"
        _save(file, 0)
        with place.attached() as link, link.program() as program:
            served_by = states(program)["served_by"]
        before = served_by.copy()
        with _watching(place, file) as watch:
            for number in range(count + 1):
                if number:  # the first is what the file holds in the beginning
                    _save(file, number)
                saved_at = time.monotonic()
                while (served_by == before).all():
                    if watch.poll() is not None or family.failed() or time.monotonic() - saved_at > READY_S:
                        raise next((child.error() for child in family.failed()), RunError("watch", "has not swapped"))
                    family.wait_until(lambda: False, LOOK_S, seen.note)
                found.append((time.monotonic() - saved_at) * 1e3)
                before = served_by.copy()
                family.wait_until(lambda: False, SAVE_PAUSE_S, seen.note)
    return np.array(found[1:])


@contextmanager
def _watching(place: Place, file: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`towline kernel watch` of a receiver's program, as one types it."""
    command = towline_command("kernel", "watch", place.name, "receiver", str(file))
    with subprocess.Popen(["setpriv", "--pdeathsig", "TERM", *command], stdout=subprocess.DEVNULL) as watch:
        try:
            yield watch
        finally:
            watch.terminate()


def _save(file: Path, number: int) -> None:
    """What nobody has compiled before, put in place whole."""
    text = POLICY_FILES[number % len(POLICY_FILES)].read_text()
    beside = file.with_suffix(".new")
    beside.write_text(f"{text}\n/* {number} {secrets.token_hex(8)} */\n")
    beside.replace(file)


def _place(path: veth.Path, side: Role) -> Place:
    end = path.receiver if side == "receiver" else path.sender
    return place_called(end.place, side)


@contextmanager
def transfer(size_bytes: int, *how: str) -> Iterator[tuple[veth.Path, Children, _Seen]]:
    """One whose bytes flow; both sides are gone when the block is left."""
    with ExitStack() as stack:
        path = stack.enter_context(veth.veth(lanes=1, mtu=1500))
        family = stack.enter_context(children())
        seen = _Seen()
        how = ("--insecure", "--json", *how)
        where = f"--interface={path.receiver.interface}"
        family.start("receiver", path.receiver.command(*towline_command("receive", where, "--sink=memory", *how)))
        family.wait_until(lambda: seen.ready or family.all_ended(), READY_S, seen.note)
        size = f"--size={size_bytes}"
        family.start("sender", path.sender.command(*towline_command("send", path.target, size, *how)))
        family.wait_until(lambda: seen.flows or family.all_ended(), READY_S, seen.note)
        yield path, family, seen


class _Seen:
    def __init__(self) -> None:
        self.ready = self.flows = False
        self.records: dict[str, dict[str, Any]] = {}

    def note(self, child: Any, event: events.AnyEvent) -> None:
        match event:
            case events.Ready():
                self.ready = True
            case events.Progress() if child.side == "sender" and event.done_bytes:
                self.flows = True
            case events.Finished():
                self.records[child.side] = event.record
            case _:
                pass


def saved_line(saved_ms: NDArray[np.float64]) -> str:
    """Percentiles in a line of text."""
    said = percentiles(saved_ms)
    return f"{len(saved_ms)} saves of a watched file, milliseconds to their effect at {PERCENTILES} %:\n{'':20}{said}"


def _what(one: Swaps) -> str:
    return f"swaps of the {one.side}'s program"


def table(found: Sequence[Swaps]) -> str:
    """Percentiles as lines of text."""
    lines = []
    for one in found:
        lines += rows(_what(one), one)
        sender, receiver = one.records["sender"], one.records["receiver"]
        lines.append(
            f"  {sender['packets']:,} packets, {receiver['placed']:,} placed, {sender['retransmissions']} sent again,"
            f" {receiver['duplicates']} came twice, {sender['goodput_gbps']:.1f} Gbit/s, verified"
        )
    return "\n".join(lines)


def main() -> int:
    """Measure all, print, and draw."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.swaps", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=COUNT, help="swaps before the source, and of each side's program")
    parser.add_argument("--size", type=parse_size, default=SIZE_BYTES, help="of the file: it has to last for all swaps")
    parser.add_argument("--saves", type=int, default=SAVES, help="of a watched file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--svg", type=Path, help="draw the distributions")
    said = parser.parse_args()
    print(saved_line(measure_saved(said.saves)), flush=True)
    steady = measure_steady(said.count, seed=said.seed)
    print(block(steady), flush=True)
    sides: tuple[Role, ...] = ("receiver", "sender")
    found = [measure(side, said.count, said.size, said.seed) for side in sides]
    print(table(found))
    if said.svg:
        panels = [(_what(one), one) for one in found]
        draw([*panels, (WHAT, steady)], said.svg)
    return 0


if __name__ == "__main__":
    sys.exit(main())
