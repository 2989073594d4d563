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

from tests.end_to_end.hand import Hand, hand, receiving
from towline.errors import SettingsError
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
    assert record["packets_sent"] == record["packets"] + record["retransmissions"]
    assert record["packets"] >= size_bytes / record["payload_size"]
    said = {"pts": "payload_size", "acc": "ack_every", "lanes": "lanes", "window": "window", "pipelining": "pipelining"}
    for option, value in zip(options[::2], options[1::2], strict=False):
        assert record[said[option[2:]]] == int(value)
    theirs = receiver.until(lambda event: event["event"] == "finished" and event["name"] == name)
    assert theirs["path"] == str(arrived)
    assert theirs["record"]["acks"] > 0
    assert sum(theirs["record"][cause] for cause in ("corrupt", "malformed", "ring_full", "nacks")) == 0


# ---- laboratory runs


def lab(*arguments: str) -> dict[str, Any]:
    """The record of one `towline lab transfer` that was verified."""
    command = [sys.executable, "-m", "towline", "lab", "transfer", "--json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
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
    assert record["nacks"] == 0


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
