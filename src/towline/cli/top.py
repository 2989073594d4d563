# SPDX-License-Identifier: GPL-2.0-only
"""`towline top`: a live view of the sessions that run on this machine."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from towline.cli.curve import Curve
from towline.cli.options import FLAG
from towline.cli.screen import print_json, printable, which
from towline.errors import EndedError, SettingsError
from towline.kernel.identity import Identity
from towline.running.places import Place, places
from towline.running.rates import Rates, rates
from towline.running.sessions import Session, sessions

LATELY_S = 10.0  # a swap is pointed out for so long
Seconds = Annotated[float, Parameter(show_default=True)]


def top(*, every: Seconds = 1.0, json: Annotated[bool, FLAG] = False) -> int:
    """Watch the sessions of all transfers that run here, in every network namespace, until Ctrl-C.

    A program that was swapped within the last ten seconds is pointed out, and each swap stands in the curve of the rate
    as a bar. A sender knows round trip, losses and what it sends again, a receiver does not; the rest both do.

    For example:

    towline top

    towline top --every 0.5 --json

    Parameters
    ----------
    every
        Seconds between two looks.
    json
        Print a line of JSON for each session and look, and nothing else.
    """
    if not 0.1 <= every <= 60:
        raise SettingsError(f"--every is {every:g}: it must be from 0.1 to 60 seconds")
    view = _View()
    if json:
        while True:
            for row in view.look():
                print_json(row)
            time.sleep(every)
    with Live(console=Console(), auto_refresh=False, screen=Console().is_terminal) as live:
        while True:
            rows = view.look()
            live.update(_screen(rows, view.curves.values(), live.console.width), refresh=True)
            time.sleep(every)


Key = tuple[int, int]  # a session on a link


@dataclass
class _View:
    """Remembers the last look, from which rates follow, and when a program was another one."""

    before: dict[Key, tuple[float, Session]] = field(default_factory=dict)
    versions: dict[int, tuple[int, float | None]] = field(default_factory=dict)  # by link: version, when it was swapped
    curves: dict[Key, Curve] = field(default_factory=dict)

    def look(self) -> list[dict[str, Any]]:
        """A row for each session."""
        rows, seen = [], {}
        for place in places():
            try:
                with place.attached() as link, link.program() as program:
                    now, identity = time.monotonic(), Identity.of(program)
                    found = sessions(program)
            except (EndedError, FileNotFoundError):  # it has just ended
                continue
            swapped_at = self._swapped_at(place, identity.version, now)
            for session in found:
                key = place.link, session.number
                seen[key] = now, session
                moved = self._rates(key, now, session)
                self.curves.setdefault(key, Curve()).add(moved.gbps, swapped=swapped_at == now)
                rows.append(
                    {
                        "interface": place.name,
                        "role": place.role,
                        **msgspec.to_builtins(identity),
                        "swapped_seconds_ago": None if swapped_at is None else now - swapped_at,
                        **msgspec.to_builtins(session),
                        **msgspec.to_builtins(moved),
                    }
                )
        self.before = seen
        self.curves = {key: self.curves[key] for key in seen}  # in the order of the rows
        return rows

    def _rates(self, key: Key, now: float, session: Session) -> Rates:
        then, earlier = self.before.get(key, (now, session))
        return rates(earlier, session, now - then)

    def _swapped_at(self, place: Place, version: int, now: float) -> float | None:
        known, when = self.versions.get(place.link, (version, None))
        if known != version:
            when = now
        self.versions[place.link] = version, when
        return when


def _screen(rows: list[dict[str, Any]], curves: Iterable[Curve], width: int) -> Group:
    """Two lines for each session, so that a terminal of 80 columns holds them: its numbers; its program and its rate
    over time.
    """
    if not rows:
        return Group("no session runs here; Ctrl-C ends this")
    return Group(_numbers(rows), *_curves(rows, curves, width))


def _numbers(rows: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, collapse_padding=True)
    for name in ("interface", "role"):
        table.add_column(name, no_wrap=True)
    for name in ("Gbit/s", "rtt us", "loss %", "again %", "per ACK", "window %", "ring %"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            Text(printable(row["interface"])),
            row["role"],
            _number(row["gbps"], ".2f"),
            _number(row["rtt_us"], ","),
            _number(row["loss_share"], ".2f", 100),
            _number(row["again_share"], ".2f", 100),
            _number(row["packets_per_ack"], ".1f"),
            f"{100 * row['outstanding'] / row['window']:.0f}",
            _number(row["ring_fill"], ".0f", 100),
        )
    return table


def _curves(rows: list[dict[str, Any]], curves: Iterable[Curve], width: int) -> Iterator[Text]:
    """One below the other, as the rows of the table are."""
    names = [_name(row) for row in rows]
    longest = max(map(len, names))
    for name, curve in zip(names, curves, strict=True):
        name.pad_right(longest - len(name) + 2)
        yield name + curve.drawn(width - longest - 2)


def _name(row: dict[str, Any]) -> Text:
    ago = row["swapped_seconds_ago"]
    mark = f" swapped {ago:.0f} s ago" if ago is not None and ago < LATELY_S else ""
    whose = f"{row['role']} {row['number']:x} {which(row['version'], row['source'])}"
    return Text(whose) + Text(mark, style="bold yellow")


def _number(value: float | None, form: str, scale: float = 1) -> str:
    return "-" if value is None else f"{value * scale:{form}}"
