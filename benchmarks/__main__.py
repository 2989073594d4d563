# SPDX-License-Identifier: GPL-2.0-only
"""The command line of the bench: `make bench`, or `python -m benchmarks` with options, as root."""

from __future__ import annotations

import argparse
import dataclasses
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from benchmarks.bench import CONGESTION, PARTS, Bench, Say, bench
from benchmarks.figures import costs, memory, missed, results
from benchmarks.report import report
from towline.errors import TowlineError
from towline.quantities import parse_size
from towline.settings import GIB, MIB

FULL = (5, GIB)  # rounds, bytes
QUICK = (1, 128 * MIB)
WIDTH = 140  # of a table that goes into a file


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench and print what it found; 1 where `--assert` was said and an aim that must be is missed."""
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH)
    try:
        said = _parser().parse_args(arguments)
        rounds, size_bytes = QUICK if said.quick else FULL
        with _progress() as say:
            found = bench(
                rounds=said.rounds or rounds,
                size_bytes=said.size or size_bytes,
                seed=said.seed,
                congestion=said.congestion,
                say=say,
                parts=[said.only] if said.only else PARTS,
            )
    except TowlineError as error:
        print(f"bench: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    console.print(report(found))
    if said.json:
        said.json.write_bytes(msgspec.json.format(msgspec.json.encode(_document(found)), indent=1))
    bad = missed(results(found.rounds), memory(found.rounds, found.larger)) if found.rounds else []
    if said.assert_ and bad:
        print(f"bench: missed: {'; '.join(bad)}", file=sys.stderr)
        return 1
    return 0


@contextmanager
def _progress() -> Iterator[Say]:
    """On stderr: a line that changes where somebody looks, else one line a run."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield console.print
        return
    with console.status("") as status:
        yield status.update


def _document(found: Bench) -> dict[str, Any]:
    """All there is: the conditions, every record, what they come to."""
    columns = ("what", "found", "verdict")
    return {
        **dataclasses.asdict(found),
        "figures": [dataclasses.asdict(each) for each in results(found.rounds)],
        "costs": [dataclasses.asdict(each) for each in costs(found.variants)],
        "memory": [dict(zip(columns, each, strict=True)) for each in memory(found.rounds, found.larger)],
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks", description="Speed beside a bare copy loop and TCP.")
    parser.add_argument("--rounds", type=_positive, help="how often everybody runs (default: 5)")
    parser.add_argument("--size", type=_size, help="bytes of each run, as 256M or 1G (default: 1G)")
    parser.add_argument("--seed", type=int, default=0, help="of the random bytes; each round adds its number")
    parser.add_argument("--congestion", default=CONGESTION, help="TCP's control algorithm (default: %(default)s)")
    parser.add_argument("--only", choices=PARTS, help="beside TCP and a bare loop (speed), or what each thing costs")
    parser.add_argument("--quick", action="store_true", help="one round of 128M: does everything run?")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every record and figure to a file")
    parser.add_argument(
        "--assert", dest="assert_", action="store_true", help="fail where an aim that must be reached is missed"
    )
    return parser


def _positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise ValueError(text)
    return number


def _size(text: str) -> int:
    try:
        return _positive(str(parse_size(text)))
    except TowlineError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that the namespaces go
    sys.exit(main())
