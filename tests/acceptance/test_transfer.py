# SPDX-License-Identifier: GPL-2.0-only
"""Whole transfers in full: each parameter over its range, varied by itself, on both deliveries; one line for each.

namespace ...a                      namespace ...b
towline send, tl0     <---------->  towline receive, tl0
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from towline.errors import SettingsError
from towline.quantities import format_size
from towline.settings import GIB, LARGEST_PAYLOAD_BYTES, MIB

pytestmark = [pytest.mark.acceptance, pytest.mark.usefixtures("namespaces")]

WATCHDOG_S = 300
PTS = 1400
PACKETS_MOST = 200_000  # where packets are small: so many, and not 64 MiB of them
SIZE_BYTES = 64 * MIB
SHOWN = (
    "goodput_gbps",
    "seconds",
    "packets",
    "retransmissions",
    "useless_retransmissions",
    "acks",
    "nacks",
    "ring_full",
)
BOTH = pytest.mark.parametrize("delivery", ["direct", "ring"])

Transfer = Callable[..., dict[str, Any]]


@pytest.fixture
def transfer(capsys: pytest.CaptureFixture[str]) -> Transfer:
    """`towline lab transfer` with these words: the record of one run that was verified; its figures are printed."""

    def run(*words: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "towline", "lab", "transfer", "--json", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=WATCHDOG_S)
        assert (done.returncode, done.stderr) == (0, "")
        record: dict[str, Any] = json.loads(done.stdout)
        with capsys.disabled():
            print(f"\n{' '.join(words):55} {'  '.join(_figures(record))}", end="  ", flush=True)
        assert record["verified"] is True
        assert record["packets_sent"] == record["packets"] + record["retransmissions"]
        assert record["packets"] >= record["file_bytes"] / record["payload_size"]
        assert all(record[cause] is not None for cause in (*SHOWN[2:], "duplicates", "corrupt", "malformed"))
        return record

    return run


def _figures(record: dict[str, Any]) -> Iterator[str]:
    for name in SHOWN:
        value = record[name]
        yield f"{name} {f'{value:.2f}' if isinstance(value, float) else value}"


@BOTH
def test_transfer__256_mib(transfer: Transfer, delivery: str) -> None:
    record = transfer("--size", "256M", "--delivery", delivery)
    assert record["delivery"] == delivery
    assert record["acks"] > 0


# ---- losses that really happen


def test_transfer__a_full_ring(transfer: Transfer) -> None:
    record = transfer("--size", "64M", "--delivery", "ring", "--ring-size", "64K", "--consumer-delay", "2000")
    assert record["ring_full"] > 0
    assert record["retransmissions"] >= record["ring_full"]  # none of it had been acknowledged


def test_transfer__short_records(transfer: Transfer) -> None:
    record = transfer("--size", "256M", "--delivery", "ring", "--short-records", "1000")
    assert record["nacks"] > 0
    assert record["retransmissions"] >= record["packets"] // 1000


# ---- each parameter by itself


@BOTH
@pytest.mark.parametrize("ack_every", [1 << n for n in range(9)])
def test_transfer__ack_every(transfer: Transfer, delivery: str, ack_every: int) -> None:
    record = transfer("--size", format_size(SIZE_BYTES), "--acc", str(ack_every), "--delivery", delivery)
    assert record["ack_every"] == ack_every


@BOTH
@pytest.mark.parametrize("payload", [1, 2, 3, 10, 79, 80, 81, 255, 512, 1000, 1476, 2000, 3000, LARGEST_PAYLOAD_BYTES])
def test_transfer__payload_size(transfer: Transfer, delivery: str, payload: int) -> None:
    size_bytes = min(SIZE_BYTES, PACKETS_MOST * payload)
    record = transfer("--size", format_size(size_bytes), "--pts", str(payload), "--delivery", delivery)
    assert record["payload_size"] == payload


@BOTH
@pytest.mark.parametrize("size_bytes", [0, 1, PTS - 1, PTS, PTS + 1, 3 * GIB], ids=format_size)
def test_transfer__size(transfer: Transfer, delivery: str, size_bytes: int) -> None:
    record = transfer("--size", format_size(size_bytes), "--pts", str(PTS), "--delivery", delivery)
    assert record["file_bytes"] == size_bytes


@BOTH
@pytest.mark.parametrize("window", [1 << n for n in range(6, 17)])
def test_transfer__window(transfer: Transfer, delivery: str, window: int) -> None:
    record = transfer("--size", format_size(SIZE_BYTES), "--window", str(window), "--delivery", delivery)
    assert record["window"] == window


def test_transfer__a_window_too_small_is_refused() -> None:
    command = [sys.executable, "-m", "towline", "lab", "transfer", "--size", "1M", "--window", "64", "--pts", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=WATCHDOG_S)
    assert (done.returncode, done.stdout) == (SettingsError.exit_code, "")
    assert "too small" in done.stderr
    assert "raise --window or --payload-size" in done.stderr


@BOTH
@pytest.mark.parametrize("lanes", [1, 2])
def test_transfer__lanes(transfer: Transfer, delivery: str, lanes: int) -> None:
    assert transfer("--size", "256M", "--lanes", str(lanes), "--delivery", delivery)["lanes"] == lanes


@BOTH
@pytest.mark.parametrize("pipelining", [0, 1, 7, 100])
def test_transfer__pipelining(transfer: Transfer, delivery: str, pipelining: int) -> None:
    record = transfer("--size", "16M", "--pipelining", str(pipelining), "--delivery", delivery)
    assert record["pipelining"] == pipelining


@BOTH
def test_transfer__stop_and_wait(transfer: Transfer, delivery: str) -> None:
    record = transfer("--size", "4M", "--pipelining", "0", "--acc", "1", "--delivery", delivery)
    assert record["acks"] >= record["packets"]


@BOTH
@pytest.mark.parametrize("checksum", ["--checksum", "--no-checksum"])
def test_transfer__checksum(transfer: Transfer, delivery: str, checksum: str) -> None:
    assert transfer("--size", "64M", checksum, "--delivery", delivery)["checksum"] is (checksum == "--checksum")


@BOTH
@pytest.mark.parametrize("lanes", [1, 2])
@pytest.mark.parametrize("before", [1, 63, 64, 65, 20_000])
def test_transfer__indices_wrap(transfer: Transfer, delivery: str, before: int, lanes: int) -> None:
    first = str((1 << 32) - before)
    transfer("--size", "64M", "--first-index", first, "--lanes", str(lanes), "--delivery", delivery)


@pytest.mark.parametrize("ring_size", ["4K", "16K", "64K", "256K", "1M", "64M"])
def test_transfer__ring_size(transfer: Transfer, ring_size: str) -> None:
    transfer("--size", "16M", "--delivery", "ring", "--ring-size", ring_size)


@BOTH
@pytest.mark.parametrize("block_size", ["1", "1000", "64K", "64M"])
def test_transfer__block_size(transfer: Transfer, delivery: str, block_size: str) -> None:
    size = "64M" if block_size.endswith(("K", "M")) else "100K"
    transfer("--size", size, "--block-size", block_size, "--delivery", delivery)


@BOTH
def test_transfer__a_real_file(transfer: Transfer, delivery: str, tmp_path: Path) -> None:
    source = max(Path(np.__file__).parent.rglob("*.so"), key=lambda path: path.stat().st_size)  # some 10 MB
    transfer("--file", str(source), "--output", str(tmp_path), "--delivery", delivery)
    assert (tmp_path / source.name).read_bytes() == source.read_bytes()
