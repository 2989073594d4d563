/* SPDX-License-Identifier: GPL-2.0-only */
/* What every program here includes first: the kernel's types, libbpf's helpers, locks and atomics. */
#ifndef TOWLINE_BPF_H
#define TOWLINE_BPF_H

#include <stdbool.h>

#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __s32 s32;
typedef __u64 u64;

#define READ_ONCE(x) (*(volatile typeof(x) *)&(x))
#define WRITE_ONCE(x, value) (*(volatile typeof(x) *)&(x) = (value))

/* The compiler forgets what it knows of a value, so that the next comparison is made, and seen by the verifier. */
#define FORGET(value) asm volatile("" : "+r"(value))

static __always_inline void count(u64 *counter)
{
	__sync_fetch_and_add(counter, 1);
}

/* A session is one lane, and a lane stays on one queue; whoever comes from elsewhere meanwhile is turned away,
 * as if the path had lost the packet. A holder on this very CPU cannot be running: take over from it. */
static __always_inline bool try_lock(u64 *lock)
{
	u64 me = bpf_get_smp_processor_id() + 1, holder = __sync_val_compare_and_swap(lock, 0, me);

	return !holder || holder == me;
}

static __always_inline void unlock(u64 *lock)
{
#ifdef __TARGET_ARCH_x86
	/* Stores become visible in order here. A full barrier would wait until the payload's have left the store
	 * buffer: more than copying it costs, where the slots are not in the cache. */
	WRITE_ONCE(*lock, 0);
#else
	__sync_lock_test_and_set(lock, 0);
#endif
}

static __always_inline u32 microseconds(void)
{
	u32 now = bpf_ktime_get_ns() / 1000;

	return now ?: 1; /* 0 means: no sample */
}

#endif
