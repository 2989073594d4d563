/* SPDX-License-Identifier: GPL-2.0-only */
/* What a session remembers, for the program that asks and for the one that replaces its answer. */
#ifndef TOWLINE_POLICY_CHOICE_H
#define TOWLINE_POLICY_CHOICE_H

#include "bpf.h"

struct session {
	__u32 choice;
	__u32 pending;
	__u32 ack_every;
	__u64 acks;
	__u64 last;
};

#endif
