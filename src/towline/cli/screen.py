# SPDX-License-Identifier: GPL-2.0-only
"""What a person, or a program, sees of a transfer: a bar and a table, or one JSON line per event."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from towline.transfer import events

MIB = 1 << 20


def print_json(value: object) -> None:
    """One line on stdout, at once, so that a reader at the other end of a pipe can act on it."""
    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")
    sys.stdout.buffer.flush()


def print_table(table: Table) -> None:
    """A table on stdout; where that is no terminal, there is no reason to squeeze it into 80 columns."""
    console = Console()
    console.width = console.width if console.is_terminal else max(console.width, 120)
    console.print(table)


class Screen:
    """Shows the events of one transfer to a person, on stderr; a context manager, because of the bar."""

    def __init__(self, *, receiving: bool = False, summary: bool = True) -> None:
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        self.receiving = receiving
        self.last: events.Progress | None = None
        self.summary = summary
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            DownloadColumn(binary_units=True),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        task = "receiving" if receiving else "sending"  # until the name is known
        self.task = self.bar.add_task(task, visible=False, total=None, rate="")

    def __enter__(self) -> Screen:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def __call__(self, event: events.Event) -> None:
        """Show one event."""
        match event:
            case events.Ready():
                self._ready(event)
            case events.Started():
                total = None if self.receiving and not event.file_bytes else event.file_bytes
                self.bar.reset(self.task, description=escape(printable(event.name)), total=total, visible=True, rate="")
                if self.summary or event.notes:  # a laboratory's table says it, but for why
                    self._started(event)
            case events.Note():
                self._say(event.text)
            case events.Replaced():
                self._say(f"the {event.side}'s program was replaced: {which(event.version, event.source)}")
            case events.RolledBack():
                self._say(
                    f"the transfer stood still for {event.stalled_seconds:.0f} s after the {event.side}'s program was"
                    f" replaced: {which(event.version, event.source)} is back"
                )
            case events.Progress():
                self.last = event
                rate = event.done_bytes * 8 / 1e9 / event.seconds if event.seconds > 0 else 0.0
                self.bar.update(
                    self.task,
                    completed=event.done_bytes,
                    total=event.total_bytes,
                    visible=True,
                    rate=f"{rate:.2f} Gbit/s",
                )
            case events.Finished():
                self.bar.update(self.task, visible=False)
                if self.summary:
                    self._finished(event)
            case events.Failed():
                self.bar.update(self.task, visible=False)
                self._say(f"{event.name}: failed: {event.reason}")
            case _:
                pass

    def _say(self, text: str) -> None:
        self.console.print(Text(printable(text)))

    def _ready(self, event: events.Ready) -> None:
        how = f"{event.mode} XDP" if event.mode else "ordinary sockets"
        why = f" ({'; '.join(event.notes)})" if event.notes else ""
        self._say(f"listening on {event.interface}, {how}{why}")
        for number, target in enumerate(event.targets):
            start = "on the other machine:" if not number else "or:"
            self._say(f"{start} towline send FILE {target} --insecure")

    def _started(self, event: events.Started) -> None:
        """How it goes, and why not faster, stands in the first line."""
        how = {
            "live": "sent by XDP",
            "packet": "sent through a packet socket",
            "udp": "sent through a UDP socket",
        }[event.transmit]
        heard = f", acknowledged through {event.mode} XDP" if event.mode else ", acknowledged through a socket"
        why = f" ({'; '.join(event.notes)})" if event.notes else ""
        self._say(f"{event.name} to {event.peer}: level {event.level}, {how}{heard}{why}")

    def _finished(self, event: events.Finished) -> None:
        where = f" -> {event.path}" if event.path else ""
        # A receiver's record has no size and time: the sender's clock counts, and nobody sees it here.
        seen = {"file_bytes": self.last.done_bytes, "seconds": self.last.seconds} if self.last else {}
        self._say(f"{event.name}{where}: {sentence({**seen, **event.record})}")


def which(version: int, source: str) -> str:
    """A program, in words."""
    return printable(f"version {version}, {source}" if source else f"version {version}")


def printable(text: str) -> str:
    """Text without control characters: names come from the wire, and a terminal obeys escape sequences."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def sentence(record: Mapping[str, Any]) -> str:
    """A record in a few words; what is not known is left out."""
    parts = []
    if record.get("file_bytes") is not None:
        parts.append(f"{record['file_bytes'] / MIB:.1f} MiB")
    if record.get("seconds") is not None:
        parts.append(f"in {record['seconds']:.2f} s")
    if record.get("goodput_gbps") is not None:
        parts.append(f"({record['goodput_gbps']:.2f} Gbit/s)")
    if record.get("retransmissions") is not None:
        parts.append(f"{record['retransmissions']} retransmissions")
    return " ".join(parts) if parts else "done"


def _modes(record: Mapping[str, Any]) -> str:
    modes = (record.get("xdp_mode_sender"), record.get("xdp_mode_receiver"))
    return " / ".join(str(mode) if mode else "-" for mode in modes)


def _number(record: Mapping[str, Any], name: str, form: str = ",", unit: str = "") -> str:
    value = record.get(name)
    return "-" if value is None else f"{value:{form}}{unit}"


def _verdict(record: Mapping[str, Any]) -> Text:
    return Text("yes", style="bold green") if record.get("verified") else Text("NO", style="bold red")


def demo_table(record: Mapping[str, Any], title: str) -> Table:
    """One run, a row for each thing worth knowing."""
    table = Table(title=Text(printable(title)), show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column(justify="right")
    micros = _number(record, "rtt_us_p50", ",.0f", " us")
    for name, value in (
        ("file", _number(record, "file_bytes", ",", " bytes")),
        ("goodput", _number(record, "goodput_gbps", ".2f", " Gbit/s")),
        ("seconds", _number(record, "seconds", ".3f")),
        ("payload in a packet", _number(record, "payload_size", ",", " bytes")),
        ("packets", _number(record, "packets")),
        ("retransmissions", _number(record, "retransmissions")),
        ("ACKs", _number(record, "acks")),
        ("round trip, median", micros),
        ("CPU, whole machine", _number(record, "cpu_seconds", ".2f", " s")),
        ("CPU for a GiB", _number(record, "cpu_seconds_per_gib", ".2f", " s")),
        ("level", str(record.get("level") or "-")),
        ("delivery", str(record.get("delivery") or "-")),
        ("mode, sender / receiver", _modes(record)),
    ):
        table.add_row(name, value)
    table.add_row("verified", _verdict(record))
    return table


def runs_table(records: Sequence[Mapping[str, Any]]) -> Table:
    """Several runs that differ in nothing but chance: a row for each, and above them what they share."""
    first = records[0]
    shared = (
        _number(first, "file_bytes", ",", " bytes"),
        f"level {first.get('level') or '-'}",
        f"datapath {first.get('datapath_sender') or '-'} / {first.get('datapath_receiver') or '-'}",
        f"delivery {first.get('delivery') or '-'}",
        _number(first, "lanes", "d", " lane(s)"),
        f"payload {_number(first, 'payload_size', 'd')}",
        f"XDP {_modes(first)}",
    )
    table = Table(title=Text(", ".join(shared)), title_justify="left")
    columns = (
        ("#", "repetition", "d"),
        ("Gbit/s", "goodput_gbps", ".2f"),
        ("packets", "packets", ","),
        ("again", "retransmissions", ","),
        ("ACKs", "acks", ","),
        ("NACKs", "nacks", ","),
        ("full", "ring_full", ","),
        ("CPU s/GiB", "cpu_seconds_per_gib", ".2f"),
    )
    for name in (*(column[0] for column in columns), "verified"):
        table.add_column(name, justify="right", no_wrap=True)
    for record in records:
        table.add_row(*(_number(record, name, form) for _, name, form in columns), _verdict(record))
    return table
