/* SPDX-License-Identifier: GPL-2.0-only */
/* When an acknowledgement is due, and writing it into the frame of the packet that was due it. */
#ifndef TOWLINE_ACKNOWLEDGE_H
#define TOWLINE_ACKNOWLEDGE_H

#include "bpf.h"
#include "check.h"
#include "delivery.h"
#include "framing.h"
#include "policy.h"
#include "window.h"

#define ACK_WORDS 16	     /* an ACK shows at most so many words of the bitmap, the answer to a FLUSH more */
#define FRAME_LEAST_BYTES 60 /* without its frame check sequence */

struct reply { /* what stands in it, gathered under the session's lock */
	u32 kind_flags, index, limit, highest, useless, first, words;
};

/* As the policy says; but where a quarter of the window is not acknowledged, the sender would soon stand still (and no
 * sender may wish for more at a time: see agree() of protocol/opening.py). */
static __always_inline bool acknowledgement_due(struct receiver_state *r, u32 flags)
{
	u32 pending = ++r->pending, most = r->window / 4 > r->ack_every ? r->window / 4 : r->ack_every;

	return due(r) | (pending >= most) | !!(flags & FLAG_FLUSH); /* one branch for the verifier to follow */
}

/* Where not all words between base and highest fit, every fourth ACK shows those next to base, where the sender's
 * window hangs, and the others go round through all of them. */
static __always_inline void choose_words(struct receiver_state *r, struct reply *reply, u32 most)
{
	u32 base_word = r->cursor / 64, total = 0;

	if (r->highest != r->cursor)
		total = (((r->highest - 1) / 64 - base_word) & (BITMAP_WORDS - 1)) + 1;
	reply->first = base_word;
	reply->words = total;
	if (total <= most)
		return;
	reply->words = most;
	if (r->acks % 4 == 0)
		return;

	u32 ahead = (r->next_word - base_word) & WORD_NUMBER_MASK;

	if (ahead >= total)
		ahead = 0;
	if (total - ahead < most)
		reply->words = total - ahead;
	reply->first = (base_word + ahead) & WORD_NUMBER_MASK;
	r->next_word = reply->first + reply->words;
}

static __always_inline void compose_acknowledgement(struct receiver_state *r, const struct data *d, u32 packet_bytes,
						    struct reply *reply)
{
	u32 most = d->flags & FLAG_FLUSH ? ACK_WORDS_MOST : ACK_WORDS;
	u32 room = (packet_bytes - d->offset - sizeof(struct header) - sizeof(struct ack)) / sizeof(u64);

	r->pending = 0;
	r->told_full = 0;
	r->acks++;
	if (r->cursor != r->highest)
		advance(r);
	__sync_lock_test_and_set(&r->ready, r->cursor); /* a full barrier: slots before ready, on every machine */
	r->advertised = READ_ONCE(r->drained) + r->window;
	choose_words(r, reply, room < most ? room : most);
	reply->kind_flags = KIND_ACK << 4;
	reply->index = r->cursor;
	reply->limit = r->advertised;
	reply->highest = r->highest;
	reply->useless = r->useless;
}

/* The ring was full for a packet that was not due an ACK: say so, once between two ACKs. */
static __always_inline void compose_full(struct receiver_state *r, const struct data *d, struct reply *reply)
{
	r->told_full = 1;
	r->full_nacks++;
	reply->kind_flags = KIND_NACK << 4 | FLAG_FULL;
	reply->index = d->index;
}

/* What is left of the packet that came does not go back. Volatile, or clang calls a memset() that BPF does not have. */
static __always_inline void clear_padding(u16 *from, void *end)
{
	for (int i = 0; i < FRAME_LEAST_BYTES / 2; i++, from++) {
		FORGET(from);
		if ((void *)(from + 1) > end)
			return;
		WRITE_ONCE(*from, 0);
	}
}

/* Turn the frame around with a header of that kind and length; the body is the caller's, who then calls bounce_seal(). */
static __always_inline struct header *bounce_header(struct xdp_md *ctx, const struct receiver_state *r,
						    const struct data *d, u32 kind_flags, u32 index, u32 length)
{
	u32 bytes = d->offset + sizeof(struct header) + length;
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	int shorter = (int)(bytes < FRAME_LEAST_BYTES ? FRAME_LEAST_BYTES : bytes) - (int)(end - data);

	if (shorter < 0 && bpf_xdp_adjust_tail(ctx, shorter))
		return NULL;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;

	struct header *h = data + d->offset;

	if (d->offset > FRAME_MOST || (void *)(h + 1) > end || !turn(data, end, r->level, r->reply))
		return NULL;
	if (bytes < FRAME_LEAST_BYTES)
		clear_padding((void *)(h + 1), end);
	h->kind_flags = kind_flags;
	h->length = bpf_htons(length);
	h->index = bpf_htonl(index); /* session and timestamp stay: the echo */
	return h;
}

static __always_inline int bounce_seal(struct xdp_md *ctx, const struct receiver_state *r, const struct data *d,
				       u32 length)
{
	u32 mix = body_mix(ctx, d->offset + sizeof(struct header), length);
	u32 sum = sums_body(r->level) ? payload_sum(ctx, d->offset + sizeof(struct header), length) : 0;
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct header *h = data + d->offset;

	if (d->offset > FRAME_MOST || (void *)(h + 1) > end)
		return XDP_DROP;
	h->check = bpf_htonl(header_check(h, mix));
	if (!seal(data, end, r->level, sizeof(*h) + length, sum))
		return XDP_DROP;
	/* A veth rings for XDP_TX only where its other end has a program: veth_xdp_flush() of drivers/net/veth.c. */
	return r->bounce_ifindex ? bpf_redirect(r->bounce_ifindex, 0) : XDP_TX;
}

static __always_inline bool write_acknowledgement(struct ack *a, void *end, struct receiver_state *r,
						  const struct reply *reply)
{
	if ((void *)(a + 1) > end)
		return false;
	a->limit = bpf_htonl(reply->limit);
	a->highest = bpf_htonl(reply->highest);
	a->first = bpf_htonl(reply->first);
	a->useless = bpf_htonl(reply->useless);
	for (u32 i = 0; i < ACK_WORDS_MOST && i < reply->words && (void *)&a->bitmap[i + 1] <= end; i++)
		a->bitmap[i] = bpf_cpu_to_be64(*bitmap_word(r->arrived, reply->first + i));
	return true;
}

static __always_inline bool write_range(struct range *range, void *end, u32 index)
{
	if ((void *)(range + 1) > end)
		return false;
	range->first = bpf_htonl(index);
	range->count = bpf_htonl(1);
	return true;
}

/* Send the packet back as the reply that was composed. */
static __always_inline int bounce(struct xdp_md *ctx, struct receiver_state *r, const struct data *d,
				  const struct reply *reply)
{
	bool is_ack = reply->kind_flags == KIND_ACK << 4;
	u32 length = is_ack ? sizeof(struct ack) + reply->words * sizeof(u64) : sizeof(struct range);
	struct header *h = bounce_header(ctx, r, d, reply->kind_flags, reply->index, length);
	void *body = h + 1, *end = (void *)(long)ctx->data_end;

	if (!h || !(is_ack ? write_acknowledgement(body, end, r, reply) : write_range(body, end, reply->index)))
		return XDP_DROP;
	return bounce_seal(ctx, r, d, length);
}

#endif
