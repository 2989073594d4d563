// SPDX-License-Identifier: GPL-2.0-only
/* How a policy may be chosen, and nothing besides: each program asks the same policy about CALLS packets in a row. */
#include "policy_choice.h"

#define CALLS 1024

const volatile u32 calls = CALLS; /* for user space: the programs have the number itself, which is no load */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct session);
	__uint(map_flags, BPF_F_MMAPABLE);
} sessions SEC(".maps");

static __always_inline bool due_fixed(struct session *s)
{
	return s->pending >= s->ack_every;
}

static __always_inline bool due_every(struct session *s)
{
	return s->pending >= 1;
}

static __always_inline bool due_timed(struct session *s)
{
	u64 now = bpf_ktime_get_ns();

	if (now - s->last < 100000)
		return false;
	s->last = now;
	return true;
}

/* A function of its own, verified by itself: freplace may put another in its place. */
__noinline int due_global(struct session *s)
{
	if (!s)
		return 0;
	return due_fixed(s);
}

static __always_inline bool due_by_value(struct session *s)
{
	switch (s->choice) {
	case 1:
		return due_every(s);
	case 2:
		return due_timed(s);
	default:
		return due_fixed(s);
	}
}

/* The barrier keeps what a packet leaves in memory there, as it is between two packets. */
#define ASK(name, question)                                \
	SEC("xdp") int name(struct xdp_md *ctx)            \
	{                                                  \
		u32 zero = 0;                              \
		struct session *s;                         \
                                                           \
		s = bpf_map_lookup_elem(&sessions, &zero); \
		if (!s)                                    \
			return XDP_ABORTED;                \
		for (u32 i = 0; i < CALLS; i++) {          \
			s->pending++;                      \
			if (question) {                    \
				s->pending = 0;            \
				s->acks++;                 \
			}                                  \
			barrier();                         \
		}                                          \
		return XDP_DROP;                           \
	}

ASK(nothing, s->pending == ~0u)
ASK(header, due_fixed(s))
ASK(function, due_global(s))
ASK(value, due_by_value(s))

char _license[] SEC("license") = "GPL";
