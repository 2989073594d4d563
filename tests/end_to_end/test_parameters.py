# SPDX-License-Identifier: GPL-2.0-only
"""Each parameter of a sender by itself, to one receiver that goes on; and what is asked of a laboratory run.

namespace ...a                      namespace ...b
towline send, tl0     <---------->  towline receive, tl0
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from scapy.utils import rdpcap

from tests.end_to_end.hand import Hand, hand, receiving
from towline.errors import CompileError, NoReceiverError, SettingsError
from towline.lab import verify
from towline.lab.environments import veth

MIB = 1 << 20
SENDERS: dict[str, tuple[int, tuple[str, ...]]] = {
    "nothing": (0, ("--pts", "1400")),
    "a byte": (1, ("--pts", "1400")),
    "pts - 1": (1399, ("--pts", "1400")),
    "pts": (1400, ("--pts", "1400")),
    "pts + 1": (1401, ("--pts", "1400")),
    "pts 1": (3000, ("--pts", "1")),
    "pts 3370": (MIB + 1, ("--pts", "3370")),
    "acc 1": (MIB + 1, ("--acc", "1")),
    "acc 256": (4 * MIB + 1, ("--acc", "256")),
    "stop and wait": (100_001, ("--pipelining", "0", "--acc", "1")),
    "four bursts": (MIB + 1, ("--pipelining", "3", "--acc", "8")),
    "two lanes": (8 * MIB + 1, ("--lanes", "2")),
    "two lanes for one block": (10, ("--lanes", "2")),
    "checksum": (MIB + 1, ("--checksum",)),
    "redundancy 3": (MIB + 1, ("--redundancy", "3")),
    "pace": (MIB + 1, ("--pace", "40mbit")),
    "transmit packet": (MIB + 1, ("--transmit", "packet")),
    "window 64": (MIB + 1, ("--window", "64")),
}
_seeds = count(1)  # the names of random files hold them


@pytest.fixture(scope="module")
def keeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[veth.Path, Hand, Path]]:
    """A receiver for all of this file's senders, and the folder that it writes to."""
    if os.geteuid() != 0:
        pytest.skip("needs root (CAP_SYS_ADMIN and CAP_NET_ADMIN for namespaces, CAP_BPF for programs)")
    folder = tmp_path_factory.mktemp("received")
    with (
        veth.veth(lanes=2, mtu=3394) as path,
        receiving(path.receiver, "--output", str(folder), "--keep") as receiver,
    ):
        yield path, receiver, folder


@pytest.mark.parametrize("case", SENDERS)
def test_send__each_parameter(keeper: tuple[veth.Path, Hand, Path], case: str) -> None:
    path, receiver, folder = keeper
    (size_bytes, options), seed = SENDERS[case], next(_seeds)
    what = ("--size", str(size_bytes), "--seed", str(seed), path.target)
    with hand(path.sender, "send", *what, *options) as sender:
        record = sender.finished()
    name = f"random-{size_bytes}-{seed}"
    arrived = folder / name
    assert verify.same(verify.source_chunks(size_bytes, seed), arrived)
    assert record["packets_sent"] == sum(record[one] for one in ("packets", "retransmissions", "redundant_copies"))
    assert record["packets"] >= size_bytes / record["payload_size"]
    said = {"pts": "payload_size", "acc": "ack_every", "lanes": "lanes", "window": "window", "pipelining": "pipelining"}
    said |= {"redundancy": "redundancy"}
    for option, value in zip(options[::2], options[1::2], strict=False):
        if option[2:] in said:
            assert record[said[option[2:]]] == int(value)
    assert record["redundant_copies"] >= (record["redundancy"] - 1) * record["packets"]
    if record["pace"]:
        assert record["packets_sent"] * record["payload_size"] * 8 / record["seconds"] < record["pace"] * 1.02
    assert record["transmit"] == ("packet" if case == "transmit packet" else "live")
    theirs = receiver.until(lambda event: event["event"] == "finished" and event["name"] == name)
    assert theirs["path"] == str(arrived)
    assert theirs["record"]["acks"] > 0
    assert sum(theirs["record"][cause] for cause in ("corrupt", "malformed", "ring_full", "nacks")) == 0


# ---- laboratory runs


def lab(*arguments: str, says: str = "") -> dict[str, Any]:
    """The record of one `towline lab transfer` that was verified; `says`: stands in its only line on stderr."""
    command = [sys.executable, "-m", "towline", "lab", "transfer", "--json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("\n") == bool(says)
    assert says in done.stderr
    record: dict[str, Any] = json.loads(done.stdout)
    assert record["verified"] is True
    assert record["packets_sent"] == record["packets"] + record["retransmissions"]
    return record


@pytest.mark.usefixtures("namespaces")
def test_transfer__a_ring_that_is_really_full() -> None:
    record = lab("--size", "8M", "--delivery", "ring", "--ring-size", "64K", "--consumer-delay", "2000")
    assert record["ring_full"] > 0
    # What the ring had no room for was sent again: nothing of it had been acknowledged.
    assert record["retransmissions"] >= record["ring_full"]
    assert 0 < record["nacks"] <= record["ring_full"]  # one each time that it fills up


@pytest.mark.usefixtures("namespaces")
def test_transfer__records_that_are_short() -> None:
    record = lab("--size", "32M", "--delivery", "ring", "--short-records", "1000")
    records = record["packets"] + record["retransmissions"] - record["duplicates"] - record["ring_full"]
    assert records // 1000 > 20
    assert record["nacks"] >= records // 3000  # two or three that come together are one NACK
    assert record["retransmissions"] >= records // 1000


@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize(("delivery", "lanes"), [("direct", 1), ("ring", 2)])
def test_transfer__indices_wrap(delivery: str, lanes: int) -> None:
    first = str((1 << 32) - 3000)
    record = lab("--size", "16M", "--first-index", first, "--delivery", delivery, "--lanes", str(lanes))
    assert (record["delivery"], record["lanes"]) == (delivery, lanes)
    assert record["packets"] > 3000 * lanes


@pytest.mark.usefixtures("namespaces")
def test_transfer__the_largest_window() -> None:
    assert lab("--size", "64M", "--window", "65536", "--pts", "100")["window"] == 65536


def test_transfer__a_window_too_small_is_refused() -> None:
    command = [sys.executable, "-m", "towline", "lab", "transfer", "--size", "1M", "--window", "64", "--pts", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (SettingsError.exit_code, "")
    assert "a window of 64 packets of 1 byte(s) is too small" in done.stderr
    assert done.stderr.count("\n") == 1


# ---- who we are: a sender that says something else finds nobody


STRANGERS = {
    "ethertype": ("ethernet", "--ethertype", "1501"),  # a length, as Linux reads it
    "next header": ("ipv6", "--next-header", "253"),
    "port": ("udp6", "--port", "15011"),
}


@pytest.mark.parametrize("case", STRANGERS)
def test_send__to_nobody(keeper: tuple[veth.Path, Hand, Path], case: str) -> None:
    path, _, _ = keeper
    level, *words = STRANGERS[case]
    target = path.target if level == "ethernet" else str(path.receiver.address6)
    options = ("--level", level, "--timeout", "1", *words)
    with hand(path.sender, "send", "--size", "1", target, *options) as sender:
        assert sender.wait() == NoReceiverError.exit_code


@pytest.mark.usefixtures("namespaces")
@pytest.mark.acceptance
@pytest.mark.parametrize("datapath", ["ebpf", "socket"])
@pytest.mark.parametrize("case", STRANGERS)
def test_transfer__numbers_in_frames(tmp_path: Path, case: str, datapath: str) -> None:
    level, option, value = STRANGERS[case]
    capture = tmp_path / "wire.pcap"
    lab("--size", "100K", "--level", level, option, value, "--datapath", datapath, "--capture", str(capture))
    frames = [bytes(packet) for packet in rdpcap(str(capture)) if len(bytes(packet)) > 500]
    assert len(frames) > 50
    at, size = {"ethertype": (12, 2), "next header": (20, 1), "port": (56, 2)}[case]
    assert {int.from_bytes(frame[at : at + size]) for frame in frames} == {int(value)}


# ---- programs and where they run


@pytest.mark.usefixtures("namespaces")
def test_transfer__generic_xdp() -> None:
    record = lab("--size", "1M", "--xdp-mode", "generic", says="acknowledged through generic XDP (no live frames: ")
    assert (record["xdp_mode_sender"], record["xdp_mode_receiver"]) == ("generic", "generic")


@pytest.mark.usefixtures("namespaces")
def test_transfer__block_size() -> None:
    assert lab("--size", "1M", "--block-size", "1000")["block_bytes"] == 1000


@pytest.mark.usefixtures("namespaces")
def test_transfer__other_clang_flags() -> None:
    record = lab("--size", "1M", "--clang-flags", "sender=-O3", "--clang-flags", "receiver=-mcpu=v3")
    assert (record["clang_flags_sender"], record["clang_flags_receiver"]) == ("-O3", "-mcpu=v3")
    assert record["refused"] is None


@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize("side", ["sender", "receiver"])
def test_transfer__flags_that_are_refused_are_a_result(side: str) -> None:
    words = ["--size", "1M", "--json", "--clang-flags", f"{side}=-mcpu=v99"]
    command = [sys.executable, "-m", "towline", "lab", "transfer", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == CompileError.exit_code
    record = json.loads(done.stdout)
    assert record["refused"].startswith(f"{side}: ")
    assert "v99" in record["refused"]
    assert record["verified"] is None
