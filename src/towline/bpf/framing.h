/* SPDX-License-Identifier: GPL-2.0-only */
/* The levels: find our header in a frame, know a session's frame again, turn a frame around.
 *
 * A level is one block here, one row of framing.py and one packet table of the tests. Which levels an interface
 * serves is a mask that is constant to the verifier, so the others cost nothing.
 */
#ifndef TOWLINE_FRAMING_H
#define TOWLINE_FRAMING_H

#include "bpf.h"
#include "state.h"
#include "wire.h"

enum level { LEVEL_ETHERNET = 3 };

const volatile u32 levels = 1 << LEVEL_ETHERNET;
const volatile u32 ethertype = 0x1501;

struct packet {
	struct header *header;
	u32 offset; /* of the header in the frame */
	u32 bytes;  /* of the frame */
	u32 level;
};

/* ---- ethernet: destination, source, type */

struct ethernet {
	u16 destination[3], source[3]; /* 16-bit words, since a frame is aligned to no more */
	__be16 type;
};

static __always_inline bool locate_ethernet(void *data, void *end, struct packet *p)
{
	struct ethernet *e = data;

	p->offset = sizeof(*e);
	p->level = LEVEL_ETHERNET;
	p->header = data + sizeof(*e);
	return (void *)(p->header + 1) <= end && e->type == bpf_htons(ethertype);
}

static __always_inline bool same_ethernet(const void *frame, const void *known)
{
	const struct ethernet *a = frame, *b = known;
	u16 difference = a->type ^ b->type;

	for (int i = 0; i < 3; i++)
		difference |= (a->destination[i] ^ b->destination[i]) | (a->source[i] ^ b->source[i]);
	return !difference;
}

static __always_inline void turn_ethernet(void *frame)
{
	struct ethernet *e = frame;

	for (int i = 0; i < 3; i++) {
		u16 destination = e->destination[i];

		e->destination[i] = e->source[i];
		e->source[i] = destination;
	}
}

/* ---- all levels */

/* True: a frame of one of this interface's levels that holds a header of ours. */
static __always_inline bool locate(struct xdp_md *ctx, struct packet *p)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	p->bytes = end - data;
	return levels & 1 << LEVEL_ETHERNET && locate_ethernet(data, end, p) && p->header->magic == WIRE_MAGIC;
}

/* True: the frame in front of the header is the one recorded for the session. */
static __always_inline bool same_frame(const struct packet *p, u32 level, const u8 *known)
{
	void *frame = (void *)p->header - p->offset;

	return level == p->level && same_ethernet(frame, known);
}

static __always_inline u32 frame_bytes(u32 level)
{
	return sizeof(struct ethernet);
}

static __always_inline void turn(void *frame, u32 level)
{
	turn_ethernet(frame);
}

static __always_inline void write_frame(void *frame, u32 level, const u8 *known)
{
	struct ethernet *e = frame;
	const struct ethernet *k = (const void *)known;

	for (int i = 0; i < 3; i++) {
		e->destination[i] = k->destination[i];
		e->source[i] = k->source[i];
	}
	e->type = k->type;
}

static __always_inline u64 session_of(const struct header *h)
{
	return (u64)bpf_ntohl(h->session_high) << 32 | bpf_ntohl(h->session_low);
}

static __always_inline u32 kind_of(const struct header *h)
{
	return h->kind_flags >> 4;
}

#endif
