# SPDX-License-Identifier: GPL-2.0-only
"""What a swap of a program costs, in a transfer and before a source of packets that never pauses."""
