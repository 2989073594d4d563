# SPDX-License-Identifier: GPL-2.0-only
"""Run a program without waiting for a packet: on live frames that leave, on one packet, on an argument."""

from __future__ import annotations

import ctypes as ct
import errno
import struct
from dataclasses import dataclass

from towline.errors import LoadError, PermissionsError, UnsupportedError
from towline.kernel.libbpf import (
    BPF_F_TEST_XDP_LIVE_FRAMES,
    OLDEST_KERNEL,
    TestRunOptions,
    kernel_version,
    library,
    refusal,
)

__all__ = ["LARGEST_FRAME_BYTES", "LiveFrames", "PacketResult", "run_classifier", "run_packet", "run_syscall"]

LARGEST_FRAME_BYTES = 3408  # a page less headroom, tailroom and the kernel's struct xdp_page_head
LARGEST_BATCH = 256
_CONTEXT = struct.Struct("=IIIIII")  # struct xdp_md: data, data_end, data_meta, ingress, queue, egress
_SMALLEST_FRAME_BYTES = 14
_LARGEST_METADATA_BYTES = 32
_OUTPUT_SLACK_BYTES = 4096  # a program may grow the packet into the rest of its page


class LiveFrames:
    """BPF_PROG_TEST_RUN with BPF_F_TEST_XDP_LIVE_FRAMES: the program runs once per frame, and what it says
    (XDP_TX, a redirect) happens to that frame. ctypes releases the GIL meanwhile.

    The frames come from a pool and keep the last packet's bytes: the program writes everything. `metadata`
    stands before each (a multiple of 4 bytes, at most 32), so that the program can tell them from the wire's;
    it must take that off (bpf_xdp_adjust_meta) before the frame leaves.
    """

    def __init__(self, program_fd: int, ifindex: int, metadata: bytes, frame_bytes: int, batch: int = 64) -> None:
        if not _SMALLEST_FRAME_BYTES <= frame_bytes <= LARGEST_FRAME_BYTES:
            raise ValueError(f"a live frame has 14 to {LARGEST_FRAME_BYTES} bytes, not {frame_bytes}")
        if len(metadata) % 4 or len(metadata) > _LARGEST_METADATA_BYTES:
            raise ValueError(f"metadata has 0, 4, 8 ... {_LARGEST_METADATA_BYTES} bytes, not {len(metadata)}")
        if not 1 <= batch <= LARGEST_BATCH:
            raise ValueError(f"a batch has 1 to {LARGEST_BATCH} frames, not {batch}")
        self._lib, self._program = library(), program_fd
        size = len(metadata) + frame_bytes
        # made once: only `repeat` changes from call to call
        self._data = ct.create_string_buffer(metadata + bytes(frame_bytes), size)
        self._context = _context(len(metadata), size, ifindex)
        self._options = TestRunOptions(
            sz=ct.sizeof(TestRunOptions),
            data_in=ct.addressof(self._data),
            data_size_in=size,
            ctx_in=ct.addressof(self._context),
            ctx_size_in=_CONTEXT.size,
            flags=BPF_F_TEST_XDP_LIVE_FRAMES,
            batch_size=batch,
        )
        self._reference = ct.byref(self._options)

    def use(self, program_fd: int) -> None:
        """Run another program from here on; it must outlive this."""
        self._program = program_fd

    def run(self, count: int) -> bool:
        """Run the program on `count` frames, in this thread's network namespace.

        False: a signal came and the kernel stopped early, without saying where. Keep a counter in memory that
        the program counts up, and run the rest. True says that the program ran, not that a frame arrived: see
        `link.xdp_features`.
        """
        if count <= 0:
            return True  # the kernel takes 0 for 1
        self._options.repeat = count
        result: int = self._lib.bpf_prog_test_run_opts(self._program, self._reference)
        if result == 0:
            return True
        if -result in (errno.EINTR, errno.EAGAIN):
            return False
        raise _error(result, "sending live frames")


@dataclass(frozen=True, kw_only=True)
class PacketResult:
    """What a program did to one packet (without its metadata); `duration_ns` is the mean of the repeats."""

    verdict: int
    packet: bytes
    duration_ns: int


def run_packet(
    program_fd: int, packet: bytes, *, ifindex: int = 0, metadata: bytes = b"", repeat: int = 1
) -> PacketResult:
    """Run an XDP program on one packet (14 bytes or more) that goes nowhere; `repeat` runs see each other's
    changes. `ifindex` is the ingress interface that it sees (0: the kernel's own choice, loopback).
    """
    data = ct.create_string_buffer(metadata + packet, len(metadata) + len(packet))
    context = _context(len(metadata), len(data), ifindex)
    output = ct.create_string_buffer(len(data) + _OUTPUT_SLACK_BYTES)
    options = TestRunOptions(
        sz=ct.sizeof(TestRunOptions),
        data_in=ct.addressof(data),
        data_size_in=len(data),
        data_out=ct.addressof(output),
        data_size_out=len(output),
        ctx_in=ct.addressof(context),
        ctx_size_in=_CONTEXT.size,
        ctx_out=ct.addressof(context),
        ctx_size_out=_CONTEXT.size,
        repeat=repeat,
    )
    if (result := library().bpf_prog_test_run_opts(program_fd, ct.byref(options))) < 0:
        raise _error(result, "running an XDP program on a packet")
    start, end, *_ = _CONTEXT.unpack(context.raw)
    return PacketResult(verdict=options.retval, packet=output.raw[start:end], duration_ns=options.duration)


def run_classifier(program_fd: int, packet: bytes, *, repeat: int = 1) -> int:
    """Run a SEC("tc") program on one packet (14 bytes or more) that goes nowhere; returns its verdict. Unlike an XDP
    program it needs no dispatcher, whose update waits for RCU in each call: the time of the call is that of the runs.
    """
    data = ct.create_string_buffer(packet, len(packet))
    options = TestRunOptions(
        sz=ct.sizeof(TestRunOptions), data_in=ct.addressof(data), data_size_in=len(data), repeat=repeat
    )
    if (result := library().bpf_prog_test_run_opts(program_fd, ct.byref(options))) < 0:
        raise _error(result, "running a classifier on a packet")
    return int(options.retval)


def run_syscall(program_fd: int, argument: bytes) -> tuple[int, bytes]:
    """Run a SEC("syscall") program; returns what it returned (signed), and its argument as it left it."""
    context = ct.create_string_buffer(argument, len(argument))
    options = TestRunOptions(
        sz=ct.sizeof(TestRunOptions),
        ctx_in=ct.addressof(context) if argument else None,
        ctx_size_in=len(argument),
    )
    if (result := library().bpf_prog_test_run_opts(program_fd, ct.byref(options))) < 0:
        raise _error(result, "running a syscall program")
    return ct.c_int32(options.retval).value, context.raw


def _context(metadata_bytes: int, size_bytes: int, ifindex: int) -> ct.Array[ct.c_char]:
    """A struct xdp_md; the metadata, if any, lies before `data`."""
    return ct.create_string_buffer(_CONTEXT.pack(metadata_bytes, size_bytes, 0, ifindex, 0, 0), _CONTEXT.size)


def _error(result: int, what: str) -> Exception:
    """Plain words for the refusals that mean something."""
    if -result == errno.EPERM:
        return PermissionsError(what)
    if -result == errno.EINVAL and kernel_version() < OLDEST_KERNEL:
        return UnsupportedError(what, f"Linux {OLDEST_KERNEL[0]}.{OLDEST_KERNEL[1]} or newer")
    if -result == errno.ENODEV:
        return LoadError(f"{what}: no such interface in this network namespace")
    return refusal(result, what)
