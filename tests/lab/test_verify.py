# SPDX-License-Identifier: GPL-2.0-only
"""Verification: one wrong bit, byte too many or too few is seen."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from towline.lab import verify

LENGTH_BYTES = (4 << 20) + 17  # more than one chunk


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(random.Random(1).randbytes(LENGTH_BYTES))
    return path


def test_same__a_copy(source: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.write_bytes(source.read_bytes())
    assert verify.same(verify.source_chunks(source, 0), copy)


@pytest.mark.parametrize("at", [0, 4 << 20, LENGTH_BYTES - 1])
def test_same__one_bit(source: Path, tmp_path: Path, at: int) -> None:
    copy = tmp_path / "copy"
    wrong = bytearray(source.read_bytes())
    wrong[at] ^= 1
    copy.write_bytes(wrong)
    assert not verify.same(verify.source_chunks(source, 0), copy)


@pytest.mark.parametrize("tail", [b"", b"\0" * 18])
def test_same__another_length(source: Path, tmp_path: Path, tail: bytes) -> None:
    copy = tmp_path / "copy"
    copy.write_bytes(source.read_bytes()[:-17] + tail)
    assert not verify.same(verify.source_chunks(source, 0), copy)


def test_same__empty_files(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    (tmp_path / "b").touch()
    assert verify.same(verify.file_chunks(tmp_path / "a"), tmp_path / "b")


def test_source_chunks__random_bytes_depend_on_seed_and_size_only() -> None:
    one = verify.digest(verify.source_chunks(LENGTH_BYTES, 1))
    assert one == verify.digest(verify.source_chunks(LENGTH_BYTES, 1))
    assert one[0] == LENGTH_BYTES
    assert one[1] != verify.digest(verify.source_chunks(LENGTH_BYTES, 2))[1]
    assert verify.digest(verify.source_chunks(0, 1))[0] == 0
