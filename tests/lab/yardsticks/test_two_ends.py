# SPDX-License-Identifier: GPL-2.0-only
"""A file between two processes of our own: all of it, or the record says that it is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from towline.lab.yardsticks import tcp, two_ends
from towline.lab.yardsticks.files import Files
from towline.lab.yardsticks.job import Job

pytestmark = pytest.mark.usefixtures("namespaces")


@pytest.mark.parametrize("size_bytes", [0, 1, (4 << 20) + 1])
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


def test_measure__a_wrong_byte_is_not_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    carry_out = two_ends._carry_out

    def spoil(plan: Job, copied: Files, *more: Any) -> Any:
        found = carry_out(plan, copied, *more)
        copied.copy.write_bytes(b"abd")
        return found

    monkeypatch.setattr(two_ends, "_carry_out", spoil)
    (tmp_path / "source").write_bytes(b"abc")
    assert tcp.measure(Job(source=tmp_path / "source"))["verified"] is False
