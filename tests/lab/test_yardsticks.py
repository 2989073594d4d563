# SPDX-License-Identifier: GPL-2.0-only
"""Yardsticks: one shape, honest numbers, nothing left behind.

namespace ...a                                  namespace ...b
iperf3 or tcp_ends, 192.0.2.1  <------------>  192.0.2.2, iperf3 or tcp_ends
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from towline.errors import FileError, RunError, SettingsError
from towline.lab import machine, record
from towline.lab.impairments import Counted, Impairment, Impairments, Report
from towline.lab.yardsticks import ends, iperf3, job, tcp
from towline.lab.yardsticks.job import Job

SIZE_BYTES = 4 << 20
SEGMENT_BYTES = 1448  # an MTU of 1500 less IPv4, TCP and its timestamps

YARDSTICKS: dict[str, Callable[[Job], dict[str, Any]]] = {"iperf3": iperf3.measure, "tcp": tcp.measure}

REPORT: dict[str, Any] = {
    "start": {"version": "iperf 3.12"},
    "end": {
        "sum_sent": {"bytes": 1 << 20, "seconds": 0.5, "retransmits": 3},
        "sum_received": {"bytes": 1000, "seconds": 0.25},
    },
}


def report(**end: Any) -> bytes:
    return json.dumps({**REPORT, "end": {**REPORT["end"], **end}}).encode()


def seen(**changes: Any) -> job.Seen:
    facts: dict[str, Any] = {
        "tool": "t",
        "sink": "memory",
        "load": 0.5,
        "begin": machine.CpuTime(busy_s=10.0, stolen_s=0.0, wall_s=100.0),
        "end": machine.CpuTime(busy_s=14.0, stolen_s=0.0, wall_s=104.0),
        "received_bytes": 2 << 30,
        "seconds": 4.0,
        "frames_sent": 7,
    }
    return job.Seen(**{**facts, **changes})


def test_record__has_the_fields_in_their_order_and_the_sums() -> None:
    found = job.record("iperf3", Job(source=5, seed=8, offloads=False), seen())
    assert tuple(found) == job.FIELDS
    assert (found["yardstick"], found["seed"], found["offloads"], found["frames_sent"]) == ("iperf3", 8, False, 7)
    assert found["goodput_gbps"] == pytest.approx((2 << 30) * 8e-9 / 4)
    assert found["cpu_seconds"] == pytest.approx(2.0)  # 4 s were busy, and half a CPU was before
    assert found["cpu_seconds_per_gib"] == pytest.approx(1.0)
    assert (found["verified"], found["peak_rss_mib"]) == (None, None)


def test_record__what_was_not_measured_is_none() -> None:
    found = job.record("tcp", Job(source=Path("f")), seen(load=1.5))  # it was busier before than during
    assert (found["seed"], found["cpu_seconds"], found["cpu_seconds_per_gib"]) == (None, None, None)
    nothing = job.record("tcp", Job(source=0), seen(received_bytes=0, seconds=0.0))
    assert (nothing["goodput_gbps"], nothing["cpu_seconds_per_gib"]) == (None, None)


def test_record__what_the_emulator_did_and_that_it_failed() -> None:
    asked = Impairments(forward=Impairment(delay_us=1000, loss=0.1))
    fine = Report(forward=Counted(carried=100, lost=12))
    found = job.record("iperf3", Job(source=5, impairments=asked), seen(emulated=fine))
    assert (found["loss_forward"], found["measured_loss_forward"], found["delay_forward"]) == (0.1, 0.12, 1000)
    assert (found["void"], found["offloads"]) == (False, False)  # no frame is longer than the wire takes
    failed = seen(emulated=Report(forward=Counted(no_room=3)))
    found = job.record("iperf3", Job(source=5, impairments=asked), failed)
    assert found["void"]
    assert "3 no_room" in found["void_reason"]


def test_fields__what_a_transfer_has_too_has_the_same_name() -> None:
    own = {"yardstick", "tool", "offloads", "congestion", "frames_sent"}
    assert set(job.FIELDS) - set(record.FIELDS) == own


def test_source_bytes__of_a_file_and_of_none(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    assert (Job(source=9).source_bytes, Job(source=tmp_path / "f").source_bytes) == (9, 3)
    with pytest.raises(FileError, match="No such file"):
        assert Job(source=tmp_path / "none").source_bytes


def test_parse__what_the_receiver_got_counts() -> None:
    found = iperf3.parse(report())
    assert found == iperf3.Result(version="iperf 3.12", received_bytes=1000, seconds=0.25, retransmissions=3)


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        (b'{"start": {}, "error": "unable to connect"}', "iperf3: unable to connect"),
        (b"iperf3: parameter error", "not understood"),
        (b"", "not understood"),
        (b"[1]", "not understood"),
        (report(sum_received={"bytes": 1000}), "not understood"),
        (report(sum_received={"bytes": None, "seconds": 1}), "not understood"),
    ],
)
def test_parse__what_is_no_result_is_an_error(said: bytes, complaint: str) -> None:
    with pytest.raises(RunError, match=complaint):
        iperf3.parse(said)


def test_measure__iperf3_cannot_send_nothing() -> None:
    with pytest.raises(SettingsError, match="nothing"):
        iperf3.measure(Job(source=0))


def test_measure__tcp_does_not_stop_by_the_clock() -> None:
    with pytest.raises(SettingsError, match="clock"):
        tcp.measure(Job(source=SIZE_BYTES, seconds=1))


@pytest.mark.usefixtures("namespaces")
def test_measure__iperf3_stops_by_the_clock_on_an_impaired_path() -> None:
    both = Impairment(delay_us=1000, rate_bps=50e6)
    plan = Job(source=1, seconds=2, impairments=Impairments(forward=both, backward=both))
    found = iperf3.measure(plan)
    assert found["seconds"] == pytest.approx(2, abs=0.5)
    assert 0.02 < found["goodput_gbps"] < 0.05  # the path's rate, and not the one byte of the source
    assert found["rate_forward"] == 50e6


@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize("name", YARDSTICKS)
def test_measure__without_offloads_each_frame_is_one_segment(name: str) -> None:
    found = YARDSTICKS[name](Job(source=SIZE_BYTES, offloads=False))
    assert tuple(found) == job.FIELDS
    assert (found["yardstick"], found["offloads"], found["congestion"]) == (name, False, "cubic")
    assert found["frames_sent"] >= found["file_bytes"] / SEGMENT_BYTES
    assert 0 < found["file_bytes"] <= SIZE_BYTES + (1 << 17)  # iperf3 sends blocks of 128 KiB
    assert found["goodput_gbps"] == pytest.approx(found["file_bytes"] * 8e-9 / found["seconds"])


@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize("name", YARDSTICKS)
def test_measure__with_offloads_many_segments_are_one_frame(name: str) -> None:
    found = YARDSTICKS[name](Job(source=SIZE_BYTES))
    assert 0 < found["frames_sent"] < SIZE_BYTES / SEGMENT_BYTES / 4


@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize("name", YARDSTICKS)
def test_measure__an_end_that_fails_is_named(name: str) -> None:
    with pytest.raises(RunError, match=r"(receiver|sender) of the run ended: .*([Nn]o such file|not supported)"):
        YARDSTICKS[name](Job(source=SIZE_BYTES, congestion="none-such"))


@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize("size_bytes", [0, 1, SIZE_BYTES + 1])
def test_measure__tcp_copies_a_file_and_removes_the_copy(size_bytes: int, tmp_path: Path) -> None:
    source, output = tmp_path / "source", tmp_path / "output"
    source.write_bytes(bytes(range(256)) * (size_bytes // 256) + b"x" * (size_bytes % 256))
    output.mkdir()
    found = tcp.measure(Job(source=source, output=output))
    assert (found["verified"], found["file_bytes"], found["sink"]) == (True, size_bytes, "file")
    assert found["peak_rss_mib"] > 0
    assert found["process_cpu_seconds"] > 0
    assert list(output.iterdir()) == []
    assert source.stat().st_size == size_bytes


@pytest.mark.usefixtures("namespaces")
def test_measure__a_wrong_byte_is_not_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    carry_out = tcp._carry_out

    def spoil(plan: Job, source: Path, copy: Path) -> Any:
        found = carry_out(plan, source, copy)
        copy.write_bytes(b"abd")
        return found

    monkeypatch.setattr(tcp, "_carry_out", spoil)
    (tmp_path / "source").write_bytes(b"abc")
    assert tcp.measure(Job(source=tmp_path / "source"))["verified"] is False


def python(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def test_end__is_gone_with_the_block() -> None:
    with pytest.raises(KeyboardInterrupt), ends.end("sender", ["sleep", "60"]) as child:
        raise KeyboardInterrupt
    assert child.process.returncode


def test_last_words__of_one_that_fails_and_of_one_that_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    with ends.end("sender", python("print('{}')")) as child:
        assert ends.last_words(child, 0) == b"{}\n"
    with (
        ends.end("sender", python("import sys; sys.exit('towline: the disk is full')")) as child,
        pytest.raises(RunError, match="sender of the run ended: the disk is full"),
    ):
        ends.last_words(child, 0)
    monkeypatch.setattr(ends, "START_S", 0.2)
    with (
        ends.end("receiver", ["sleep", "60"]) as child,
        pytest.raises(RunError, match="receiver of the run ended: not done after 0 s"),
    ):
        ends.last_words(child, 0)


LISTEN = """
import socket, time
time.sleep(0.2)
listener = socket.create_server(("127.0.0.1", {port}))
print(time.monotonic(), flush=True)
time.sleep(60)
"""


def test_wait_until_listening__waits_without_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    with ends.end("receiver", python(LISTEN.format(port=45_671))) as child:
        ends.wait_until_listening(child, 45_671)
        assert child.process.stdout is not None
        assert float(child.process.stdout.readline()) <= time.monotonic()
        monkeypatch.setattr(ends, "START_S", 0.1)
        with pytest.raises(RunError, match="not listening"):
            ends.wait_until_listening(child, 45_672)
    with (
        ends.end("receiver", python("import sys; sys.exit('towline: in use')")) as child,
        pytest.raises(RunError, match="in use"),
    ):
        ends.wait_until_listening(child, 45_671)
