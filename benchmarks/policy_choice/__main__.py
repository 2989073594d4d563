# SPDX-License-Identifier: GPL-2.0-only
"""What the choice of a policy costs for each packet: `python -m benchmarks.policy_choice`, as root.

Three ways to keep a policy apart from the mechanism that asks it: a header that the program includes; a global
function that freplace replaces; a session's number in its map value, by which the program chooses among policies that
it holds. All ask the same policy, `fixed`, so that what differs is the way to it.
"""

from __future__ import annotations

import argparse
import ctypes as ct
import os
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from towline.bpf import INCLUDE
from towline.errors import LoadError
from towline.kernel.clang import compile_program
from towline.kernel.libbpf import library, messages
from towline.kernel.live import run_packet
from towline.kernel.program import Object

FOLDER = Path(__file__).parent
FLAGS = (INCLUDE,)
REPEAT = 2000
ACK_EVERY = 32
PACKET = bytes(64)


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What was measured in rounds of so many packets."""

    packets: int
    ways_ns: dict[str, list[float]]  # for each packet, by round; without a way that the kernel refused


@contextmanager
def replaced(target_fd: int) -> Iterator[None]:
    """due_global of a program, replaced by a program of its own."""
    lib = library()
    path = compile_program(FOLDER / "policy_replacement.bpf.c", flags=FLAGS)
    handle = lib.bpf_object__open_file(os.fsencode(path), None)
    program = lib.bpf_object__next_program(handle, None)
    link = None
    try:
        with messages() as said:
            if lib.bpf_program__set_attach_target(program, target_fd, b"due_global") or lib.bpf_object__load(handle):
                raise LoadError(said[0] if said else "the replacement does not load")
        link = lib.bpf_program__attach_freplace(program, 0, None)
        if not link:
            raise LoadError(f"freplace: {os.strerror(ct.get_errno())}")
        yield
    finally:
        if link:
            lib.bpf_link__destroy(link)
        lib.bpf_object__close(handle)


def measure(rounds: int, seed: int = 0) -> Costs:
    """Each way once in a round, in an order that chance decides anew."""
    chance = random.Random(seed)
    found: dict[str, list[float]] = {name: [] for name in ("nothing", "header", "function", "value", "freplace")}
    refused = ""
    with Object(compile_program(FOLDER / "policy_choice.bpf.c", flags=FLAGS)) as choice:
        calls = int.from_bytes(choice.constants()["calls"], sys.byteorder)
        choice.load()
        choice.memory("sessions")[0]["ack_every"] = ACK_EVERY
        for _ in range(rounds):
            for name in chance.sample(list(found), len(found)):
                program_fd = choice.program("function" if name == "freplace" else name)
                try:
                    with replaced(program_fd) if name == "freplace" else nullcontext():
                        found[name].append(run_packet(program_fd, PACKET, repeat=REPEAT).duration_ns / calls)
                except LoadError as error:
                    refused = str(error)
    if refused:
        print(f"not measured, freplace: {refused}", file=sys.stderr)
    return Costs(packets=REPEAT * calls, ways_ns={name: values for name, values in found.items() if values})


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.policy_choice", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=30)
    said = parser.parse_args()
    found = measure(said.rounds)
    base = np.median(found.ways_ns["nothing"])
    print(f"{said.rounds} rounds of {found.packets:,} packets; ns per packet: median (quartiles), above nothing")
    for name, values in found.ways_ns.items():
        low, middle, high = np.percentile(values, (25, 50, 75))
        print(f"  {name:<9} {middle:6.2f} ({low:.2f} to {high:.2f}) {middle - base:+.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
