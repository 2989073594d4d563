// SPDX-License-Identifier: GPL-2.0-only
/* A program that does nothing: how long the kernel takes to run it says how fast the machine is at the moment. */
#include "../bpf/bpf.h"

SEC("tc")
int canary(struct __sk_buff *ctx)
{
	return 0;
}

char _license[] SEC("license") = "GPL";
