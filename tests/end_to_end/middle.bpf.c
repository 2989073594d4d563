// SPDX-License-Identifier: GPL-2.0-only
/* A path between two veth pairs that loses, damages, or goes dark; the test says when. */
#include <stdbool.h>

#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define ETHERTYPE 0x1501
#define PAYLOAD 38 /* where it begins */
#define KIND_DATA 5

/* User space writes the first line, XDP the second. */
struct direction {
	__u64 out, dark, drop_every, damage_every; /* every so manieth frame of ours; 0: none */
	__u64 seen, dropped, damaged;
};

struct direction forward, backward;

static __always_inline bool every(__u64 n, __u64 often)
{
	return often && n % often == 0;
}

static __always_inline int pass_on(struct xdp_md *ctx, struct direction *d)
{
	__u8 *frame = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	if (frame + PAYLOAD > end || *(__be16 *)(frame + 12) != bpf_htons(ETHERTYPE))
		return XDP_DROP; /* the hosts' own chatter */

	__u64 n = __sync_fetch_and_add(&d->seen, 1) + 1;

	if (d->dark || every(n, d->drop_every)) {
		__sync_fetch_and_add(&d->dropped, 1);
		return XDP_DROP;
	}
	if (every(n, d->damage_every) && frame[15] >> 4 == KIND_DATA && frame + PAYLOAD + 1 <= end) {
		__sync_fetch_and_add(&d->damaged, 1);
		frame[PAYLOAD] ^= 0x10;
	}
	return bpf_redirect(d->out, 0);
}

SEC("xdp")
int from_sender(struct xdp_md *ctx)
{
	return pass_on(ctx, &forward);
}

SEC("xdp")
int from_receiver(struct xdp_md *ctx)
{
	return pass_on(ctx, &backward);
}

char _license[] SEC("license") = "GPL";
