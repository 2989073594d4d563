/* SPDX-License-Identifier: GPL-2.0-only */
/* The levels: find our header in a frame, know a session's frame again, turn a frame around, finish it.
 *
 * A level is one block of ethernet.h or internet.h, its lines here, one row of framing.py and one packet table of the
 * tests. Which levels an interface serves is a mask that is constant to the verifier, so the others cost nothing: raw,
 * dst or dst-src alone, or any of the other four together.
 */
#ifndef TOWLINE_FRAMING_H
#define TOWLINE_FRAMING_H

#include "bpf.h"
#include "state.h"
#include "wire.h"
#include "ethernet.h"
#include "internet.h"

enum level { LEVEL_RAW, LEVEL_DST, LEVEL_DST_SRC, LEVEL_ETHERNET, LEVEL_IPV6, LEVEL_UDP6, LEVEL_UDP4 };

#define DST_BYTES 6
#define DST_SRC_BYTES 12
#define ETHERNET_BYTES 14
#define IPV6_BYTES (ETHERNET_BYTES + 40)
#define UDP6_BYTES (IPV6_BYTES + 8)
#define UDP4_BYTES (ETHERNET_BYTES + 20 + 8)

const volatile u32 levels = 1 << LEVEL_ETHERNET;
const volatile u32 ethertype = 0x1501; /* level ethernet */
const volatile u32 next_header = 146;  /* level ipv6 */
const volatile u32 udp_port = 0;       /* ours: where packets to us go */

/* By level. Volatile, and looked up by a number that the verifier does not know: a frame's level is forgotten there,
 * or each of its paths would be walked once for each level. */
const volatile u8 frame_sizes[8] = { 0, DST_BYTES, DST_SRC_BYTES, ETHERNET_BYTES, IPV6_BYTES, UDP6_BYTES, UDP4_BYTES };

struct packet {
	struct header *header;
	u32 offset; /* of the header in the frame */
	u32 bytes;  /* of the frame */
	u32 level;
};

static __always_inline u32 frame_bytes(u32 level)
{
	return frame_sizes[level % 8];
}

/* Is a session's level this one? Constantly not, where the interface does not serve it. */
static __always_inline bool is(u32 level, enum level which)
{
	return levels & 1 << which && level == which;
}

/* True: the UDP checksum covers what follows our header. */
static __always_inline bool sums_body(u32 level)
{
	return is(level, LEVEL_UDP6) || is(level, LEVEL_UDP4);
}

/* ---- find our header */

static __always_inline bool locate_internet6(void *data, void *end, u32 served, struct packet *p)
{
	struct ipv6 *ip = data + ETHERNET_BYTES;
	struct udp *udp = (void *)(ip + 1);

	if ((void *)(udp + 1) > end || /* at level ipv6 our own header is longer */
	    (ip->version_class_flow & bpf_htonl(IPV6_VERSION_MASK)) != bpf_htonl(IPV6_VERSION))
		return false;
	if (served & 1 << LEVEL_IPV6 && ip->next_header == next_header) {
		p->level = LEVEL_IPV6;
		p->offset = IPV6_BYTES;
		return true;
	}
	p->level = LEVEL_UDP6;
	p->offset = UDP6_BYTES;
	return served & 1 << LEVEL_UDP6 && ip->next_header == PROTOCOL_UDP && udp->destination == bpf_htons(udp_port);
}

static __always_inline bool locate_internet4(void *data, void *end, struct packet *p)
{
	struct ipv4 *ip = data + ETHERNET_BYTES;
	struct udp *udp = (void *)(ip + 1);

	p->level = LEVEL_UDP4;
	p->offset = UDP4_BYTES;
	return (void *)(udp + 1) <= end && ip->version_and_words == IPV4_VERSION_AND_WORDS &&
	       ip->protocol == PROTOCOL_UDP && !(ip->fragment & bpf_htons(IPV4_FRAGMENT_MASK)) &&
	       udp->destination == bpf_htons(udp_port);
}

/* The levels that Ethernet's type tells apart. */
static __always_inline bool locate_typed(void *data, void *end, u32 served, struct packet *p)
{
	struct ethernet *e = data;

	if ((void *)(e + 1) > end)
		return false;
	p->level = LEVEL_ETHERNET;
	p->offset = ETHERNET_BYTES;
	if (served & 1 << LEVEL_ETHERNET && e->type == bpf_htons(ethertype))
		return true;
	if (served & (1 << LEVEL_IPV6 | 1 << LEVEL_UDP6) && e->type == bpf_htons(ETHERTYPE_IPV6))
		return locate_internet6(data, end, served, p);
	return served & 1 << LEVEL_UDP4 && e->type == bpf_htons(ETHERTYPE_IPV4) && locate_internet4(data, end, p);
}

/* True: a frame of one of this interface's levels that holds a header of ours. */
static __always_inline bool locate(struct xdp_md *ctx, struct packet *p)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	u32 served = levels;

	p->bytes = end - data;
	if (served & 1 << LEVEL_RAW) {
		p->level = LEVEL_RAW;
		p->offset = 0;
	} else if (served & 1 << LEVEL_DST) {
		p->level = LEVEL_DST;
		p->offset = DST_BYTES;
	} else if (served & 1 << LEVEL_DST_SRC) {
		p->level = LEVEL_DST_SRC;
		p->offset = DST_SRC_BYTES;
	} else if (!locate_typed(data, end, served, p)) {
		return false;
	}
	p->header = data + p->offset;
	return (void *)(p->header + 1) <= end && p->header->magic == WIRE_MAGIC;
}

/* ---- know it again */

/* True: the frame in front of the header is the one recorded for the session. */
static __always_inline bool same_frame(const struct packet *p, u32 level, const u8 *known)
{
	void *frame = (void *)p->header - p->offset;
	void *ip = frame + ETHERNET_BYTES;
	const void *known_ip = known + ETHERNET_BYTES;

	if (level != p->level)
		return false;
	switch (p->level) {
	case LEVEL_RAW:
		return true;
	case LEVEL_DST:
		return same_dst(frame, (const void *)known);
	case LEVEL_DST_SRC:
		return same_dst_src(frame, (const void *)known);
	case LEVEL_ETHERNET:
		return same_ethernet(frame, (const void *)known);
	case LEVEL_IPV6:
		return same_ipv6(ip, known_ip);
	case LEVEL_UDP6:
		return same_ipv6(ip, known_ip) && same_ports(frame + IPV6_BYTES, (const void *)known + IPV6_BYTES);
	case LEVEL_UDP4:
		return same_ipv4(ip, known_ip) && same_ports(frame + UDP4_BYTES - sizeof(struct udp),
							     (const void *)known + UDP4_BYTES - sizeof(struct udp));
	}
	return false;
}

/* ---- turn it around */

/* Back to where it came from; `reply` is the session's frame for what goes back. False: it is too short. */
static __always_inline bool turn(void *frame, void *end, u32 level, const u8 *reply)
{
	void *ip;

	FORGET(frame);
	if (frame + ETHERNET_BYTES > end)
		return false;
	ip = frame + ETHERNET_BYTES;
	if (is(level, LEVEL_ETHERNET) || is(level, LEVEL_DST_SRC)) {
		turn_dst_src(frame);
	} else if (is(level, LEVEL_DST)) {
		turn_dst(frame, (const void *)reply);
	} else if (is(level, LEVEL_IPV6) || is(level, LEVEL_UDP6)) {
		if (frame + UDP6_BYTES > end)
			return false;
		turn_ipv6(frame, ip);
		if (is(level, LEVEL_UDP6))
			turn_ports(frame + IPV6_BYTES);
	} else if (is(level, LEVEL_UDP4)) {
		if (frame + UDP4_BYTES > end)
			return false;
		turn_ipv4(frame, ip);
		turn_ports(frame + UDP4_BYTES - sizeof(struct udp));
	}
	return true;
}

/* ---- finish it */

/* Lengths and checksums, when all else is written: so many `bytes` follow the frame, our header first; `sum` is the
 * Internet checksum's (host order) over what follows the header, where sums_body(). */
static __always_inline bool seal(void *frame, void *end, u32 level, u32 bytes, u32 sum)
{
	void *ip;

	FORGET(frame); /* else clang compares one copy of it and writes through another; as in turn() */
	ip = frame + ETHERNET_BYTES;
	if (is(level, LEVEL_IPV6)) {
		if (frame + IPV6_BYTES > end)
			return false;
		seal_ipv6(ip, bytes);
	} else if (is(level, LEVEL_UDP6)) {
		if (frame + UDP6_BYTES + sizeof(struct header) > end)
			return false;
		seal_udp6(ip, frame + IPV6_BYTES, bytes, sum);
	} else if (is(level, LEVEL_UDP4)) {
		if (frame + UDP4_BYTES + sizeof(struct header) > end)
			return false;
		seal_udp4(ip, frame + UDP4_BYTES - sizeof(struct udp), bytes, sum);
	}
	return true;
}

/* ---- our header */

static __always_inline u64 session_of(const struct header *h)
{
	return (u64)bpf_ntohl(h->session_high) << 32 | bpf_ntohl(h->session_low);
}

static __always_inline u32 kind_of(const struct header *h)
{
	return h->kind_flags >> 4;
}

_Static_assert(sizeof(struct ethernet) == ETHERNET_BYTES, "Ethernet");
_Static_assert(sizeof(struct ipv6) == 40 && sizeof(struct ipv4) == 20 && sizeof(struct udp) == 8, "IP and UDP");
_Static_assert(UDP6_BYTES <= FRAME_MOST, "a session's frame");

#endif
