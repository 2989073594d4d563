# SPDX-License-Identifier: GPL-2.0-only
"""Programs that run without a packet from outside: live frames, single packets, syscall programs."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pyroute2 import IPRoute

from towline.errors import LoadError
from towline.kernel.attach import attach
from towline.kernel.live import LARGEST_FRAME_BYTES, LiveFrames, run_packet, run_syscall
from towline.kernel.program import Object

Build = Callable[[str], Path]
TALK = """
const volatile u32 ifindex = 0, secret = 0;
u64 sent = 0, strangers = 0, received = 0, received_bytes = 0, marked = 0;

SEC("xdp") int tl_send(struct xdp_md *ctx)
{
	u32 *mark = (void *)(long)ctx->data_meta;
	if ((void *)(mark + 1) > (void *)(long)ctx->data || *mark != secret) {
		strangers++;
		return XDP_PASS;
	}
	if (bpf_xdp_adjust_meta(ctx, 4))
		return XDP_DROP;
	u8 *data = (void *)(long)ctx->data;
	if (data + 14 > (u8 *)(long)ctx->data_end)
		return XDP_DROP;
	for (int i = 0; i < 12; i++)
		data[i] = i % 6 ? 0 : 2;
	data[5] = 0x0b; data[11] = 0x0a; data[12] = 0x15; data[13] = 1;
	sent++;
	return bpf_redirect(ifindex, 0);
}
SEC("xdp") int tl_receive(struct xdp_md *ctx)
{
	u8 *data = (void *)(long)ctx->data;
	if (data + 14 > (u8 *)(long)ctx->data_end || data[12] != 0x15)
		return XDP_PASS;
	received++; received_bytes += ctx->data_end - ctx->data; marked += ctx->data - ctx->data_meta;
	return XDP_DROP;
}
SEC("xdp") int tl_sink(struct xdp_md *ctx) { sent++; return XDP_DROP; }
"""
PACKETS = """
SEC("xdp") int tl_grow(struct xdp_md *ctx) { return bpf_xdp_adjust_tail(ctx, 16) ? XDP_ABORTED : XDP_TX; }
SEC("xdp") int tl_shrink(struct xdp_md *ctx) { return bpf_xdp_adjust_head(ctx, 4) ? XDP_ABORTED : XDP_TX; }
SEC("xdp") int tl_meta(struct xdp_md *ctx)
{
	u8 *meta = (void *)(long)ctx->data_meta, *data = (void *)(long)ctx->data;
	return meta + 4 > data ? XDP_ABORTED : meta[2];
}
SEC("xdp") int tl_from(struct xdp_md *ctx) { return ctx->ingress_ifindex; }
struct argument { s32 left, right, sum; };
SEC("syscall") int tl_add(struct argument *a) { a->sum = a->left + a->right; return -a->left; }
"""


@pytest.mark.parametrize("frame_bytes", [60, LARGEST_FRAME_BYTES])
def test_live_frames__arrive_at_the_other_end(build: Build, pair: tuple[int, int], frame_bytes: int) -> None:
    with IPRoute() as route:
        for end in pair:
            route.link("set", index=end, mtu=3506)  # a veth drops longer frames, and says nothing
    with Object(build(TALK)) as talk:
        talk.set_constants(ifindex=pair[0], secret=0xFEEDBEEF)
        talk.load()
        with (
            attach(talk.program("tl_send"), pair[0], "native"),
            attach(talk.program("tl_receive"), pair[1], "native"),
        ):
            metadata = (0xFEEDBEEF).to_bytes(4, "little")
            frames = LiveFrames(talk.program("tl_send"), pair[0], metadata, frame_bytes)
            assert frames.run(100)
            assert frames.run(1)
            assert frames.run(0)
            wait_for(lambda: int(talk.globals("received")) >= 101)
        assert [int(talk.globals(name)) for name in ("sent", "received", "marked")] == [101, 101, 0]
        assert talk.globals("received_bytes") == 101 * frame_bytes


def test_live_frames__say_that_a_signal_stopped_them(build: Build, pair: tuple[int, int]) -> None:
    with Object(build(TALK)) as talk:
        talk.load()
        before = signal.signal(signal.SIGALRM, lambda *_: None)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)  # again and again: the first may come too early
            with attach(talk.program("tl_sink"), pair[0], "native"):
                assert not LiveFrames(talk.program("tl_sink"), pair[0], b"", 64).run(2**31 - 1)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        assert 0 < talk.globals("sent") < 2**31 - 1


@pytest.mark.parametrize(
    ("metadata", "frame_bytes", "batch"),
    [(b"", 13, 1), (b"", LARGEST_FRAME_BYTES + 1, 1), (b"123", 64, 1), (bytes(36), 64, 1), (b"", 64, 257)],
)
def test_live_frames__refuse_what_the_kernel_would(metadata: bytes, frame_bytes: int, batch: int) -> None:
    with pytest.raises(ValueError, match="not"):
        LiveFrames(0, 1, metadata, frame_bytes, batch)


def test_live_frames__name_a_missing_interface(build: Build) -> None:
    with Object(build(TALK)) as talk:
        talk.load()
        with pytest.raises(LoadError, match="no such interface"):
            LiveFrames(talk.program("tl_sink"), 999999, b"", 64).run(1)


def test_run_packet__returns_a_packet_of_another_length(build: Build) -> None:
    packet = bytes(range(64))
    with Object(build(PACKETS)) as packets:
        packets.load()
        grown = run_packet(packets.program("tl_grow"), packet)
        shrunk = run_packet(packets.program("tl_shrink"), packet, metadata=b"")
    assert (grown.verdict, grown.packet) == (3, packet + bytes(16))
    assert (shrunk.verdict, shrunk.packet) == (3, packet[4:])


def test_run_packet__shows_the_metadata_to_the_program(build: Build) -> None:
    with Object(build(PACKETS)) as packets:
        packets.load()
        program = packets.program("tl_meta")
        assert run_packet(program, bytes(60)).verdict == 0
        result = run_packet(program, bytes(60), metadata=b"\0\0\x09\0", repeat=100)
    assert (result.verdict, result.packet) == (9, bytes(60))
    assert result.duration_ns < 100_000


def test_run_packet__shows_the_interface_to_the_program(build: Build, pair: tuple[int, int]) -> None:
    with Object(build(PACKETS)) as packets:
        packets.load()
        assert run_packet(packets.program("tl_from"), bytes(60), ifindex=pair[1]).verdict == pair[1]


def test_run_packet__refuses_half_a_frame(build: Build) -> None:
    with Object(build(PACKETS)) as packets:
        packets.load()
        with pytest.raises(OSError, match="running an XDP program on a packet: Invalid argument"):
            run_packet(packets.program("tl_from"), bytes(13))


def test_run_syscall__returns_value_and_argument(build: Build) -> None:
    with Object(build(PACKETS)) as packets:
        packets.load()
        argument = b"".join(n.to_bytes(4, "little", signed=True) for n in (40, 2, 0))
        value, after = run_syscall(packets.program("tl_add"), argument)
    assert (value, after[:8], after[8]) == (-40, argument[:8], 42)


def wait_for(condition: Callable[[], bool]) -> None:
    """A veth's other end takes its packets in softirq, which may run a moment later."""
    deadline = time.monotonic() + 2
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.001)
