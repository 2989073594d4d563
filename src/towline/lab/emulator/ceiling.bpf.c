// SPDX-License-Identifier: GPL-2.0-only
/* Frames for nothing but to be passed on: what the emulator gets at one end, and what comes out at the other. */
#include "../../bpf/bpf.h"

#define HEADER_BYTES 14

const volatile u32 out;		/* the interface that frames leave by */
const volatile u32 frame_bytes; /* of each: nobody else here sends such long ones */

u64 blasted;   /* written by one CPU at a time: that of the process that runs `blast` */
u64 swallowed; /* by the receiver's only queue */

/* On live frames. */
SEC("xdp")
int blast(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;

	if (data + HEADER_BYTES > (void *)(long)ctx->data_end)
		return XDP_DROP;
	/* To and from locally administered addresses, with the ethertype of local experiments (IEEE 802). */
	__builtin_memcpy(data, "\x02\0\0\0\0\x0b\x02\0\0\0\0\x0a\x88\xb5", HEADER_BYTES);
	blasted++;
	return bpf_redirect(out, 0);
}

SEC("xdp")
int swallow(struct xdp_md *ctx)
{
	if (ctx->data_end - ctx->data != frame_bytes)
		return XDP_PASS;
	swallowed++;
	return XDP_DROP;
}

char _license[] SEC("license") = "GPL";
