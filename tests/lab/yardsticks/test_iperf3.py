# SPDX-License-Identifier: GPL-2.0-only
"""iperf3's own words, understood or refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from towline.errors import RunError, SettingsError
from towline.lab.emulator.impairments import Impairment, Impairments
from towline.lab.yardsticks import iperf3
from towline.lab.yardsticks.job import Job

REPORT: dict[str, Any] = {
    "start": {"version": "iperf 3.12"},
    "end": {
        "sum_sent": {"bytes": 1 << 20, "seconds": 0.5, "retransmits": 3},
        "sum_received": {"bytes": 1000, "seconds": 0.25},
    },
}


def report(**end: Any) -> bytes:
    return json.dumps({**REPORT, "end": {**REPORT["end"], **end}}).encode()


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


INTERVALS: dict[str, Any] = {
    "intervals": [
        {"sum": {"start": 0, "end": 0.1, "bytes": 100}},
        {"sum": {"start": 0.1, "end": 0.25, "bytes": 200}},
        {"sum": {"start": 0.1, "end": 0.25, "bytes": 200}},
    ],
    "end": {"sum_received": {"bytes": 999, "seconds": 0.15}},
}


def test_parse_interrupted__the_intervals_count_and_the_repeated_one_once() -> None:
    interrupted = json.dumps({**json.loads(report()), "error": "interrupt - the client has terminated"}).encode()
    found = iperf3.parse_interrupted(interrupted, json.dumps(INTERVALS).encode())
    assert found == iperf3.Result(version="iperf 3.12", received_bytes=300, seconds=0.25, retransmissions=3)


@pytest.mark.parametrize(("said", "heard"), [(b"", b"{}"), (report(), b""), (report(), b'{"intervals": []}')])
def test_parse_interrupted__what_is_no_result_is_an_error(said: bytes, heard: bytes) -> None:
    with pytest.raises(RunError, match="not understood"):
        iperf3.parse_interrupted(said, heard)


@pytest.mark.usefixtures("namespaces")
def test_measure__iperf3_stops_by_the_clock_on_an_impaired_path() -> None:
    both = Impairment(delay_us=1000, rate_bps=50e6)
    plan = Job(source=1, seconds=2, impairments=Impairments(forward=both, backward=both))
    found = iperf3.measure(plan)
    assert found["seconds"] == pytest.approx(2, abs=0.5)
    assert 0.02 < found["goodput_gbps"] < 0.05  # the path's rate, and not the one byte of the source
    assert found["rate_forward"] == 50e6
