// SPDX-License-Identifier: GPL-2.0-only
/* What takes the place of policy_choice.bpf.c's due_global: the same answer. */
#include "policy_choice.h"

SEC("freplace/due_global") int due_replaced(struct session *s)
{
	if (!s)
		return 0;
	return s->pending >= s->ack_every;
}

char _license[] SEC("license") = "GPL";
