/* SPDX-License-Identifier: GPL-2.0-only */
/* The header's check: 32 bits mixed over its other 20 bytes and, where the body is covered, 32 bits that stand for it.
 *
 * Multiply and fold, as 64-bit hash finalisers do (Steele, Lea and Flood, OOPSLA 2014): any change of the header's
 * first 16 bytes or of the last word survives each step, and is missed once in 2^32. For DATA's body stands the 16-bit
 * sum of RFC 1071 over network-order words, zeros behind it: what a kernel helper computes fast, and the block's digest
 * finds what it misses. Nothing is behind the other kinds, so their bodies are mixed as the header is, word by word.
 */
#ifndef TOWLINE_CHECK_H
#define TOWLINE_CHECK_H

#include "bpf.h"
#include "state.h"
#include "wire.h"

#define CHECK_CHUNK 512 /* bpf_csum_diff() takes no more at a time on older kernels */
#define CHECK_TAIL 256
#define OFFSET_MOST 128 /* a power of two, of what follows a header */

/* The sum of length bytes at offset of the packet; length at most 4095. */
static __noinline u32 payload_sum(struct xdp_md *ctx, u32 offset, u32 length)
{
	u8 tail[CHECK_TAIL] = {};
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__wsum sum = 0;

	if (offset > FRAME_MOST + sizeof(struct header))
		return 0;
	data += offset;
	for (int i = 0; i < 4096 / CHECK_CHUNK && length >= CHECK_CHUNK; i++) {
		if (data + CHECK_CHUNK > end)
			return 0;
		sum = bpf_csum_diff(0, 0, data, CHECK_CHUNK, sum);
		data += CHECK_CHUNK;
		offset += CHECK_CHUNK;
		length -= CHECK_CHUNK;
	}
	if (length >= CHECK_TAIL) {
		if (data + CHECK_TAIL > end)
			return 0;
		sum = bpf_csum_diff(0, 0, data, CHECK_TAIL, sum);
		offset += CHECK_TAIL;
		length -= CHECK_TAIL;
	}
	FORGET(length);
	if (length > 0 && length < CHECK_TAIL) {
		if (bpf_xdp_load_bytes(ctx, offset, tail, length))
			return 0;
		sum = bpf_csum_diff(0, 0, (__be32 *)tail, CHECK_TAIL, sum);
	}
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return bpf_ntohs(sum);
}

static __always_inline u64 mixed_in(u64 mixed, u64 word)
{
	mixed = (mixed ^ word) * 0xd6e8feb86659fd93ull;
	return mixed ^ mixed >> 32;
}

/* What stands for the body of an ACK or a NACK: its 64-bit words, zeros behind the last. At most 4095 bytes.
 * A global function: the verifier looks into it once, and not for each level and kind. */
__noinline u32 body_mix(struct xdp_md *ctx, u32 offset, u32 length)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	u32 words = length / sizeof(u64), rest = length % sizeof(u64);
	__be64 *word, last = 0;
	u64 mixed = 0;

	word = data + offset % OFFSET_MOST; /* a comparison is lost where clang keeps two copies of it */
	for (u32 i = 0; i < 4096 / sizeof(u64) && i < words; i++, word++) {
		FORGET(word); /* else clang compares one copy of it and reads through another */
		if ((void *)(word + 1) > end)
			return 0;
		mixed = mixed_in(mixed, bpf_be64_to_cpu(*word));
	}
	if (rest) {
		if (bpf_xdp_load_bytes(ctx, offset + length - rest, &last, rest))
			return 0;
		mixed = mixed_in(mixed, bpf_be64_to_cpu(last));
	}
	return mixed;
}

/* `sum`: 0 where the body is not covered. */
static __always_inline u32 header_check(const struct header *h, u32 sum)
{
	u64 first = (u64)h->magic << 56 | (u64)h->kind_flags << 48 | (u64)bpf_ntohs(h->length) << 32 |
		    bpf_ntohl(h->session_high);
	u64 second = (u64)bpf_ntohl(h->session_low) << 32 | bpf_ntohl(h->index);
	u64 third = (u64)bpf_ntohl(h->timestamp) << 32 | sum;

	first *= 0x9e3779b97f4a7c15ull;
	first ^= first >> 32;
	first = (first ^ second) * 0xbf58476d1ce4e5b9ull;
	first ^= first >> 29;
	first = (first ^ third) * 0x94d049bb133111ebull;
	return first ^ first >> 32;
}

_Static_assert(FRAME_MOST + sizeof(struct header) < OFFSET_MOST, "where bodies begin");

#endif
