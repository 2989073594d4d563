# SPDX-License-Identifier: GPL-2.0-only
"""The only room that talks to the kernel's BPF and links."""
