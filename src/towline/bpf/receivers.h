/* SPDX-License-Identifier: GPL-2.0-only */
/* The map of receiving sessions, for the receiver and for who looks over its shoulder. Needs bpf.h and state.h. */
#ifndef TOWLINE_RECEIVERS_H
#define TOWLINE_RECEIVERS_H

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, RECEIVERS_MOST);
	__type(key, u32);
	__type(value, struct receiver_state);
} receivers SEC(".maps");

#endif
