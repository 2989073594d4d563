# SPDX-License-Identifier: GPL-2.0-only
"""Errors: one line with everything that was said, and an exit code that is not success."""

from __future__ import annotations

import pytest

from towline import errors

SAMPLES = [
    (errors.TowlineError("it broke"), "it broke"),
    (errors.SettingsError("--acc is 0"), "--acc is 0"),
    (errors.UnsupportedError("native XDP", "a driver {that} has it"), "a driver {that} has it"),
    (errors.CompileError("x.c:3: error", "everything"), "x.c:3: error"),
    (
        errors.LayoutError("x.bpf.c", ["a is u32", "b is u8"]),
        "x.bpf.c does not fit what runs, so nothing was changed: a is u32",
    ),
    (errors.LoadError("R1 is wild", "everything"), "R1 is wild"),
    (errors.EndedError("the transfer on eth0"), "the transfer on eth0 has ended"),
    (errors.PermissionsError("attaching to eth0"), "CAP_BPF"),
    (errors.NoReceiverError("02:00:00:00:00:0b%eth0", 10.0), "02:00:00:00:00:0b%eth0 within 10 s"),
    (errors.PeerError("died", progress="3 of 4 MiB"), "died (last progress: 3 of 4 MiB)"),
    (errors.PeerError("rejected the transfer", "busy"), "rejected the transfer: busy"),
    (errors.StalledError(60.0, "3 of 4 MiB"), "60 s (last progress: 3 of 4 MiB)"),
    (errors.IntegrityError("block 7"), "block 7"),
    (errors.UnconfirmedError("silence for 10 s"), "silence for 10 s"),
    (errors.FileError("/srv/in", "the disk is full"), "/srv/in: the disk is full"),
    (errors.MalformedError("HELLO of 3 bytes"), "HELLO of 3 bytes"),
    (errors.RunError("sender", "no clang", exit_code=3), "sender of the run ended: no clang"),
]


@pytest.mark.parametrize(("error", "part"), SAMPLES, ids=lambda value: type(value).__name__)
def test_str__is_one_line_with_what_was_said(error: errors.TowlineError, part: str) -> None:
    assert part in str(error)
    assert str(error).splitlines() == [str(error)]


def test_str__every_class_has_a_sample() -> None:
    every = {name for name in errors.__all__ if issubclass(getattr(errors, name), errors.TowlineError)}
    assert {type(error).__name__ for error, _ in SAMPLES} == every


@pytest.mark.parametrize("error", [error for error, _ in SAMPLES], ids=lambda error: type(error).__name__)
def test_exit_code__is_no_success(error: errors.TowlineError) -> None:
    assert 0 < error.exit_code < 126


def test_log__is_kept_whole() -> None:
    assert errors.LoadError("R1 is wild", "line 1\nline 2").log == "line 1\nline 2"
