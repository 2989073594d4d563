# SPDX-License-Identifier: GPL-2.0-only
"""Capture files, as a reader that we did not write sees them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from towline.lab.emulator.pcap import Capture


def test_capture__is_read_by_scapy(tmp_path: Path) -> None:
    utilities = pytest.importorskip("scapy.utils", reason="needs scapy to read pcap files")
    memory = np.arange(4096, dtype=np.uint64).astype(np.uint8)
    begins, lengths = np.array([128, 0, 64, 1024]), np.array([60, 14, 60, 1500])
    times_ns = np.array([1_700_000_000_123_456_789 + i for i in range(4)])
    file = Capture(tmp_path / "a.pcap")
    file.write(times_ns[:3], lengths[:3], memory, begins[:3], 64)
    file.write(times_ns[3:], lengths[3:], memory, begins[3:], 64)
    file.close()
    assert file.error is None
    with utilities.RawPcapReader(str(tmp_path / "a.pcap")) as reader:
        assert (reader.nano, reader.linktype) == (True, 1)
        read = [(about.sec * 10**9 + about.usec, about.wirelen, frame) for frame, about in reader]
    expected = [bytes(memory[begin : begin + length]) for begin, length in zip(begins, lengths, strict=True)]
    assert read == [(time, len(frame), frame) for time, frame in zip(times_ns.tolist(), expected, strict=True)]
