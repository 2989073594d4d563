# SPDX-License-Identifier: GPL-2.0-only
"""One run, with children that only play their parts: what is asked of them, and who is to blame."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from towline.errors import FileError, RunError
from towline.lab import children, machine, run, sides
from towline.settings import Settings
from towline.transfer import events

# The parts: what the two commands do instead of what they really do.
PART = """
import json, os, shutil, sys, time
words = sys.argv[1:]
def say(**event): print(json.dumps(event), flush=True)
def option(name): return next(w.split("=", 1)[1] for w in words if w.startswith(f"--{name}="))
def finished(path, **record): say(event="finished", name="f", path=path, record=record)
def started():
    say(event="started", name="f", peer="p", file_bytes=3, payload_size=1476, lanes=1, level="ethernet",
        transmit="live", mode="native")
def complain(code, text):
    print("towline:", text, file=sys.stderr)
    sys.exit(code)
"""
RECEIVE = 'say(event="ready", interface=option("interface"), targets=["02:00:00:00:00:0b%IF"], levels=[], mode=None)\n'
GOOD_RECEIVER = (
    RECEIVE
    + """
path = os.path.join(option("output"), "f")
open(path, "wb").write(b"abc")
finished(path, acks=1, peak_rss_mib=10.0)
"""
)
GOOD_SENDER = "started(); time.sleep(0.05); finished(None, seconds=0.5, peak_rss_mib=20.0, acks=2)\n"

pytestmark = pytest.mark.usefixtures("namespaces")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(b"abc")
    return path


def play(monkeypatch: pytest.MonkeyPatch, *, receiver: str = GOOD_RECEIVER, sender: str = GOOD_SENDER) -> None:
    parts = {"receive": receiver, "send": sender}

    def command(*arguments: str) -> list[str]:
        return [sys.executable, "-c", PART + parts[arguments[0]], *arguments]

    monkeypatch.setattr(run, "towline_command", command)
    monkeypatch.setattr(machine, "BASELINE_SECONDS", 0.01)


def go(source: Path | int, **settings: object) -> tuple[dict[str, object], list[events.Event]]:
    seen: list[events.Event] = []
    plan = run.Run(source=source, settings=Settings(**settings), seed=3, repetition=2)  # type: ignore[arg-type]
    return run.run(plan, seen.append), seen


def test_run__puts_the_record_together(monkeypatch: pytest.MonkeyPatch, source: Path) -> None:
    play(monkeypatch)
    record, seen = go(source, ack_every=8)
    assert record["verified"] is True
    assert (record["environment"], record["file_bytes"], record["repetition"]) == ("veth", 3, 2)
    assert (record["ack_every"], record["acks"], record["peak_rss_mib"]) == (8, 2, 30.0)
    assert record["goodput_gbps"] == pytest.approx(48e-9)
    assert record["seed"] == 3
    assert all(record[name] is not None for name in ("load", "stolen", "void", "kernel", "version"))
    assert [type(event) for event in seen] == [events.Started, events.Finished]


def test_run__a_wrong_byte_is_not_verified(monkeypatch: pytest.MonkeyPatch, source: Path) -> None:
    play(monkeypatch, receiver=GOOD_RECEIVER.replace('b"abc"', 'b"abd"'))
    assert go(source)[0]["verified"] is False


def test_run__blames_the_side_that_knows_why(monkeypatch: pytest.MonkeyPatch, source: Path) -> None:
    first_hand = RECEIVE + 'time.sleep(0.3); complain(10, "/x: the disk is full")'
    play(monkeypatch, receiver=first_hand, sender='complain(6, "the other side aborted")')
    with pytest.raises(RunError, match="receiver of the run ended: /x: the disk is full") as caught:
        go(source)
    assert caught.value.exit_code == 10


def test_run__a_receiver_that_cannot_begin(monkeypatch: pytest.MonkeyPatch, source: Path) -> None:
    play(monkeypatch, receiver='complain(3, "no clang")')
    with pytest.raises(RunError, match="no clang") as caught:
        go(source)
    assert caught.value.exit_code == 3


def test_run__a_side_that_never_ends_is_ended(monkeypatch: pytest.MonkeyPatch, source: Path) -> None:
    monkeypatch.setattr(sides, "STOP_S", 0.2)
    play(monkeypatch, receiver=RECEIVE + "time.sleep(600)", sender="sys.exit(6)")
    with pytest.raises(RunError, match="sender"):
        go(source, timeout_s=1)


def test_run__no_result_is_an_error(monkeypatch: pytest.MonkeyPatch, source: Path) -> None:
    play(monkeypatch, receiver=RECEIVE)
    with pytest.raises(RunError, match="receiver of the run ended: it told no result"):
        go(source)


def test_run__no_such_file(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="No such file"):
        go(tmp_path / "none")


@pytest.mark.parametrize(
    ("payload_size", "asked", "mtu"),
    [(None, 1500, 1500), (1476, 1500, 1500), (1477, 1500, 1501), (3370, 256, 3394), (1, 256, 256)],
)
def test_mtu_for__is_raised_when_the_payload_needs_it(payload_size: int | None, asked: int, mtu: int) -> None:
    assert run.mtu_for(Settings(payload_size=payload_size, mtu=asked)) == mtu


def test_verified__memory_relies_on_done() -> None:
    plan = run.Run(source=5, settings=Settings(sink="memory"))
    assert run.verified(plan, None)
    assert not run.verified(run.Run(source=5, settings=Settings()), None)


def test_towline_command__is_this_program() -> None:
    assert children.towline_command("send")[1:] == ["-m", "towline", "send"]


@pytest.mark.parametrize(
    ("dropped", "reason"),
    [
        ((0, 0), None),
        ((5, 0), None),
        ((6, 0), "6 frames found the queue to the emulator full, forward"),
        ((0, 1), "backward"),
    ],
)
def test_overrun__what_never_reached_the_emulator_makes_a_run_void(
    dropped: tuple[int, int], reason: str | None
) -> None:
    frames = {"frames_forward": 10_000, "frames_backward": 300}
    found = run._overrun(frames | {"dropped_forward": dropped[0], "dropped_backward": dropped[1]})
    assert found is None if reason is None else reason in str(found)


@pytest.mark.parametrize(
    ("seconds", "rtt_us", "short"),
    [
        (0.5, 100.0, None),
        (0.49, 100.0, "0.49 s: shorter than 0.5 s"),
        (0.6, 40_000.0, "15 round trips: fewer than 20"),
        (0.6, None, None),
        (None, None, None),
    ],
)
def test_short__by_time_and_round_trips(seconds: float | None, rtt_us: float | None, short: str | None) -> None:
    assert run._short({"seconds": seconds, "rtt_us_p50": rtt_us}) == short
