# SPDX-License-Identifier: GPL-2.0-only
"""`towline top`: a live view of the sessions that run on this machine."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from towline.cli.options import FLAG
from towline.cli.screen import print_json, printable
from towline.errors import EndedError, SettingsError
from towline.running.places import Place, places
from towline.running.rates import Rates, rates
from towline.running.sessions import Session, sessions

LATELY_S = 10.0  # a swap is pointed out for so long
Seconds = Annotated[float, Parameter(show_default=True)]


def top(*, every: Seconds = 1.0, json: Annotated[bool, FLAG] = False) -> int:
    """Watch the sessions of all transfers that run here, in every network namespace, until Ctrl-C.

    A program that was swapped within the last ten seconds is marked. A sender knows round trip and retransmissions, a
    receiver does not; acknowledgements and window both.

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
            live.update(_table(view.look()), refresh=True)
            time.sleep(every)


@dataclass
class _View:
    """Remembers the last look, from which rates follow, and when a program was another one."""

    before: dict[tuple[int, int], tuple[float, Session]] = field(default_factory=dict)
    versions: dict[int, tuple[int, float | None]] = field(default_factory=dict)  # by link: version, when it was swapped

    def look(self) -> list[dict[str, Any]]:
        """A row for each session."""
        rows, seen = [], {}
        for place in places():
            try:
                with place.attached() as link, link.program() as program:
                    now, version = time.monotonic(), program.constant("program_version")
                    found = sessions(program)
            except (EndedError, FileNotFoundError):  # it has just ended
                continue
            swapped_at = self._swapped_at(place, version, now)
            for session in found:
                key = place.link, session.number
                seen[key] = now, session
                rows.append(
                    {
                        "interface": place.name,
                        "role": place.role,
                        "version": version,
                        "swapped_seconds_ago": None if swapped_at is None else now - swapped_at,
                        **msgspec.to_builtins(session),
                        **msgspec.to_builtins(self._rates(key, now, session)),
                    }
                )
        self.before = seen
        return rows

    def _rates(self, key: tuple[int, int], now: float, session: Session) -> Rates:
        then, earlier = self.before.get(key, (now, session))
        return rates(earlier, session, now - then)

    def _swapped_at(self, place: Place, version: int, now: float) -> float | None:
        known, when = self.versions.get(place.link, (version, None))
        if known != version:
            when = now
        self.versions[place.link] = version, when
        return when


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(title="towline top" if rows else "no session runs here; Ctrl-C ends this", title_justify="left")
    for name in ("interface", "role", "session", "Gbit/s", "rtt us", "again %", "packets/ACK", "window %", "program"):
        table.add_column(name, justify="left" if name in ("interface", "role", "session", "program") else "right")
    for row in rows:
        ago = row["swapped_seconds_ago"]
        mark = f" swapped {ago:.0f} s ago" if ago is not None and ago < LATELY_S else ""
        table.add_row(
            Text(printable(row["interface"])),
            row["role"],
            f"{row['number']:x}",
            _number(row["gbps"], ".2f"),
            _number(row["rtt_us"], ","),
            _number(row["again_share"], ".2f", 100),
            _number(row["packets_per_ack"], ".1f"),
            f"{100 * row['outstanding'] / row['window']:.0f}",
            Text(f"version {row['version']}") + Text(mark, style="bold yellow"),
        )
    return table


def _number(value: float | None, form: str, scale: float = 1) -> str:
    return "-" if value is None else f"{value * scale:{form}}"
