/* SPDX-License-Identifier: GPL-2.0-only */
/* Levels ipv6, udp6 and udp4: frames that routers pass on.
 *
 * Routers change the link's addresses, traffic class and hop limit: a session's frame is known by its IP addresses and
 * ports. Sums of 32-bit words are taken as they lie in memory: a one's complement sum does not mind the byte order
 * (RFC 1071, section 2).
 */
#ifndef TOWLINE_INTERNET_H
#define TOWLINE_INTERNET_H

#include "bpf.h"
#include "ethernet.h"
#include "wire.h"

#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_IPV6 0x86dd
#define PROTOCOL_UDP 17
#define HOP_LIMIT 64
#define IPV6_VERSION (6u << 28)
#define IPV6_VERSION_MASK (0xfu << 28)
#define IPV4_VERSION_AND_WORDS 0x45 /* no options */
#define IPV4_DONT_FRAGMENT 0x4000
#define IPV4_FRAGMENT_MASK 0x3fff /* more fragments, and the offset */

struct ipv6 { /* RFC 8200, section 3 */
	__be32 version_class_flow;
	__be16 length; /* of what follows */
	u8 next_header;
	u8 hop_limit;
	__be32 source[4], destination[4];
};

struct ipv4 { /* RFC 791, section 3.1 */
	u8 version_and_words;
	u8 service;
	__be16 length; /* of all */
	__be16 identification;
	__be16 fragment;
	u8 hop_limit;
	u8 protocol;
	u16 check;
	__be32 source, destination;
};

struct udp { /* RFC 768 */
	__be16 source, destination;
	__be16 length; /* with these 8 bytes */
	u16 check;
};

static __always_inline u64 words_sum(const __be32 *words, int count)
{
	u64 sum = 0;

	for (int i = 0; i < count; i++)
		sum += words[i];
	return sum;
}

static __always_inline u16 folded(u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

/* Length and checksum of a datagram of so many bytes behind the UDP header: our header is read, `sum` is that of what
 * follows it (host order), `addresses` that of the pseudo header's addresses. */
static __always_inline void seal_udp(struct udp *udp, u32 bytes, u32 sum, u64 addresses)
{
	__be16 length = bpf_htons(sizeof(*udp) + bytes);
	u64 total = addresses + bpf_htons(PROTOCOL_UDP) + length; /* the pseudo header */

	udp->length = length;
	total += (u32)udp->source + udp->destination + length;
	total += words_sum((void *)(udp + 1), sizeof(struct header) / sizeof(u32));
	total += bpf_htons(sum);
	udp->check = (u16)~folded(total) ?: 0xffff; /* 0 says: no checksum */
}

static __always_inline bool same_ports(const struct udp *a, const struct udp *b)
{
	return a->source == b->source && a->destination == b->destination;
}

static __always_inline void turn_ports(struct udp *udp)
{
	__be16 source = udp->source;

	udp->source = udp->destination;
	udp->destination = source;
}

/* ---- ipv6: our header stands behind the IPv6 header, no extension header between them */

static __always_inline bool same_ipv6(const struct ipv6 *a, const struct ipv6 *b)
{
	u32 difference = 0;

	for (int i = 0; i < 4; i++)
		difference |= (a->source[i] ^ b->source[i]) | (a->destination[i] ^ b->destination[i]);
	return !difference;
}

static __always_inline void turn_ipv6(struct ethernet *e, struct ipv6 *ip)
{
	turn_dst_src(e);
	ip->version_class_flow = bpf_htonl(IPV6_VERSION);
	ip->hop_limit = HOP_LIMIT;
	for (int i = 0; i < 4; i++) {
		__be32 source = ip->source[i];

		ip->source[i] = ip->destination[i];
		ip->destination[i] = source;
	}
}

static __always_inline void seal_ipv6(struct ipv6 *ip, u32 bytes)
{
	ip->length = bpf_htons(bytes);
}

/* ---- udp6 */

static __always_inline void seal_udp6(struct ipv6 *ip, struct udp *udp, u32 bytes, u32 sum)
{
	seal_ipv6(ip, sizeof(*udp) + bytes);
	seal_udp(udp, bytes, sum, words_sum(ip->source, 4) + words_sum(ip->destination, 4));
}

/* ---- udp4: no options, no fragments */

static __always_inline bool same_ipv4(const struct ipv4 *a, const struct ipv4 *b)
{
	return a->source == b->source && a->destination == b->destination;
}

static __always_inline void turn_ipv4(struct ethernet *e, struct ipv4 *ip)
{
	__be32 source = ip->source;

	turn_dst_src(e);
	ip->service = 0;
	ip->identification = 0; /* means nothing where there are no fragments (RFC 6864) */
	ip->fragment = bpf_htons(IPV4_DONT_FRAGMENT);
	ip->hop_limit = HOP_LIMIT;
	ip->source = ip->destination;
	ip->destination = source;
}

static __always_inline void seal_udp4(struct ipv4 *ip, struct udp *udp, u32 bytes, u32 sum)
{
	ip->length = bpf_htons(sizeof(*ip) + sizeof(*udp) + bytes);
	ip->check = 0;
	ip->check = ~folded(words_sum((void *)ip, sizeof(*ip) / sizeof(u32)));
	seal_udp(udp, bytes, sum, (u64)ip->source + ip->destination);
}

#endif
