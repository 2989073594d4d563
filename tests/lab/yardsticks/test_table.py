# SPDX-License-Identifier: GPL-2.0-only
"""Yardsticks: one shape, honest numbers, nothing left behind.

namespace ...a                         namespace ...b
a yardstick, 192.0.2.1  <----------->  192.0.2.2, its other end

or, impaired:

namespace ...a                         namespace ...m                       namespace ...b
a yardstick, 192.0.2.1  <------>  left  the emulator  right  <------>  192.0.2.2, its other end
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from towline.errors import FileError, RunError, SettingsError, UnsupportedError
from towline.lab import yardsticks
from towline.lab.emulator.impairments import Impairment, Impairments
from towline.lab.environments import veth
from towline.lab.yardsticks import job
from towline.lab.yardsticks.job import Job
from towline.lab.yardsticks.table import YARDSTICKS, Yardstick

SIZE_BYTES = 4 << 20
SEGMENT_BYTES = 1448  # an MTU of 1500 less IPv4, TCP and its timestamps
BLOCK_BYTES = 1 << 17  # iperf3 sends whole ones
NAMES = [name for name in YARDSTICKS if name != "quic-picoquic"]
FILES = [name for name in NAMES if YARDSTICKS[name].delivers_file]
PATH_BPS = 50e6
ONE_WAY = Impairment(delay_us=2000, rate_bps=PATH_BPS, loss=0.01)
SLOW_BPS = 5e6
SLOW = Impairment(delay_us=1000, rate_bps=SLOW_BPS)


def usable(name: str) -> Yardstick:
    """A yardstick, if this machine has what it needs."""
    found = YARDSTICKS[name]
    if reason := found.missing():
        pytest.skip(reason)
    return found


@pytest.fixture(scope="module")
def impaired() -> Iterator[veth.Path]:
    """One path for all, as a comparison has it."""
    if os.geteuid() != 0:
        pytest.skip("needs root (CAP_SYS_ADMIN and CAP_NET_ADMIN for namespaces, CAP_BPF for programs)")
    with veth.veth(impairments=Impairments()) as path:
        yield path


def others_in(path: veth.Path) -> str:
    """Processes in the namespaces at both ends."""
    said = [
        subprocess.run(["ip", "netns", "pids", end.namespace], capture_output=True, text=True, check=True).stdout
        for end in (path.sender, path.receiver)
    ]
    return "".join(said)


def test_table__names_and_where_it_is_found() -> None:
    assert list(YARDSTICKS) == ["tcp", "udp", "quic-aioquic", "quic-picoquic", "rsync", "scp", "iperf3"]
    assert yardsticks.YARDSTICKS is YARDSTICKS
    assert [name for name, one in YARDSTICKS.items() if one.takes_rate] == ["udp"]
    assert [name for name, one in YARDSTICKS.items() if not one.delivers_file] == ["udp", "iperf3"]


def test_missing__says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    reasons = {name: str(one.missing()) for name, one in YARDSTICKS.items()}
    assert {reasons["tcp"], reasons["udp"]} == {"None"}
    assert "apt install rsync" in reasons["rsync"]
    assert "apt install openssh-client" in reasons["scp"]
    assert "apt install iperf3" in reasons["iperf3"]
    assert "pip install" in reasons["quic-aioquic"]


@pytest.mark.parametrize(("python", "reason"), [((3, 11, 2), "needs Python 3.12"), ((3, 13, 0), "no adapter")])
def test_missing__picoquic_whatever_the_python(
    python: tuple[int, ...], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "version_info", python)
    picoquic = YARDSTICKS["quic-picoquic"]
    assert reason in str(picoquic.missing())
    with pytest.raises(UnsupportedError, match=reason):
        picoquic.measure(Job(source=1), None)


def test_ends__are_started_without_the_laboratory() -> None:
    said = "import sys, towline.lab.yardsticks.tcp_ends; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True).stdout.split()
    assert {"numpy", "pyroute2", "aioquic", "msgspec"} & set(modules) == set()


@pytest.mark.parametrize("name", [*FILES, "udp"])
def test_measure__copiers_do_not_stop_by_the_clock(name: str) -> None:
    with pytest.raises(SettingsError, match="clock"):
        usable(name).measure(Job(source=SIZE_BYTES, seconds=1), None)


@pytest.mark.parametrize("name", NAMES)
def test_measure__a_file_that_is_not_there(name: str, tmp_path: Path) -> None:
    with pytest.raises(FileError, match="No such file"):
        usable(name).measure(Job(source=tmp_path / "none"), None)


@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize("name", NAMES)
def test_measure__without_offloads_each_frame_is_one_segment(name: str, tmp_path: Path) -> None:
    source, output = tmp_path / "source", tmp_path / "output"
    source.write_bytes(os.urandom(SIZE_BYTES))
    output.mkdir()
    yardstick = usable(name)
    rate_bps = int(1e9) if yardstick.takes_rate else None
    found = yardstick.measure(Job(source=source, output=output, offloads=False, rate_bps=rate_bps), None)
    assert tuple(found) == job.FIELDS
    assert (found["yardstick"], found["offloads"], found["capped"]) == (name, False, False)
    assert found["frames_sent"] >= min(found["file_bytes"], SIZE_BYTES) / (SEGMENT_BYTES + 16)
    if yardstick.delivers_file:
        assert (found["verified"], found["file_bytes"], found["sink"]) == (True, SIZE_BYTES, "file")
    else:
        assert found["verified"] is None
        assert 0 < found["file_bytes"] <= SIZE_BYTES + BLOCK_BYTES
    assert found["goodput_gbps"] == pytest.approx(found["file_bytes"] * 8e-9 / found["seconds"])
    assert list(output.iterdir()) == []
    assert source.stat().st_size == SIZE_BYTES


@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize("name", ["tcp", "iperf3"])
def test_measure__with_offloads_many_segments_are_one_frame(name: str) -> None:
    found = usable(name).measure(Job(source=SIZE_BYTES), None)
    assert 0 < found["frames_sent"] < SIZE_BYTES / SEGMENT_BYTES / 4


@pytest.mark.parametrize("name", NAMES)
def test_measure__over_a_given_path_that_is_impaired(name: str, impaired: veth.Path) -> None:
    one = Impairments(forward=ONE_WAY, backward=ONE_WAY, seed=3)
    asked = Job(source=SIZE_BYTES // 16, impairments=one, rate_bps=int(0.9 * PATH_BPS))
    found = usable(name).measure(asked, impaired)
    assert (found["offloads"], found["rate_forward"], found["capped"]) == (False, PATH_BPS, False)
    assert found["measured_loss_forward"] < 0.1
    assert found["frames_sent"] < 2 * SIZE_BYTES / 16 / 1200  # this job's, not all that have crossed the path
    if name != "iperf3":  # it stops when the last byte has left
        assert 0 < found["goodput_gbps"] < PATH_BPS / 1e9
    if YARDSTICKS[name].delivers_file:
        assert found["verified"] is True
    assert others_in(impaired) == ""
    assert impaired.receiver.frames_sent() > 0  # it is still there


@pytest.mark.parametrize("name", NAMES)
def test_measure__who_takes_too_long_is_stopped_and_what_arrived_counts(name: str, impaired: veth.Path) -> None:
    asked = Job(
        source=10 * SIZE_BYTES,  # more than a minute
        impairments=Impairments(forward=SLOW, backward=SLOW),
        cap_s=0.8,
        rate_bps=int(0.9 * SLOW_BPS),
    )
    found = usable(name).measure(asked, impaired)
    assert (found["capped"], found["verified"]) == (True, None)
    assert 0 <= found["file_bytes"] < 5 * SIZE_BYTES
    assert found["goodput_gbps"] <= SLOW_BPS / 1e9
    if name not in ("rsync", "scp"):  # which may still have been connecting
        assert found["file_bytes"] > 0
    assert others_in(impaired) == ""


def test_measure__impairments_need_an_emulator_on_a_given_path() -> None:
    clean = veth.Path(sender=None, receiver=None, mtu=1500)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="no emulator"):
        YARDSTICKS["tcp"].measure(Job(source=1, impairments=Impairments()), clean)


@pytest.mark.usefixtures("namespaces")
def test_measure__a_congestion_control_that_is_not_there() -> None:
    with pytest.raises(SettingsError, match=r"none-such.*Unknown"):
        YARDSTICKS["tcp"].measure(Job(source=1, congestion="none-such"), None)


@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize("name", FILES)
def test_measure__an_end_that_fails_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"(receiver|sender) of the run ended: ."):
        usable(name).measure(Job(source=1 << 16, output=tmp_path / "none"), None)
