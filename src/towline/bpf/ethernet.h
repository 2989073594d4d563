/* SPDX-License-Identifier: GPL-2.0-only */
/* Levels raw, dst, dst-src and ethernet: the first so many bytes of destination, source and type. */
#ifndef TOWLINE_ETHERNET_H
#define TOWLINE_ETHERNET_H

#include "bpf.h"

struct ethernet {
	u16 destination[3], source[3]; /* 16-bit words, since a frame is aligned to no more */
	__be16 type;
};

static __always_inline u16 difference(const u16 *a, const u16 *b)
{
	return (a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]);
}

/* ---- raw: nothing to know, nothing to turn */

/* ---- dst: the frame names no source, so the session must say where replies go */

static __always_inline bool same_dst(const struct ethernet *a, const struct ethernet *b)
{
	return !difference(a->destination, b->destination);
}

static __always_inline void turn_dst(struct ethernet *e, const struct ethernet *reply)
{
	for (int i = 0; i < 3; i++)
		e->destination[i] = reply->destination[i];
}

/* ---- dst-src */

static __always_inline bool same_dst_src(const struct ethernet *a, const struct ethernet *b)
{
	return !(difference(a->destination, b->destination) | difference(a->source, b->source));
}

static __always_inline void turn_dst_src(struct ethernet *e)
{
	for (int i = 0; i < 3; i++) {
		u16 destination = e->destination[i];

		e->destination[i] = e->source[i];
		e->source[i] = destination;
	}
}

/* ---- ethernet: turned as dst-src is */

static __always_inline bool same_ethernet(const struct ethernet *a, const struct ethernet *b)
{
	return !(difference(a->destination, b->destination) | difference(a->source, b->source) | (a->type ^ b->type));
}

#endif
