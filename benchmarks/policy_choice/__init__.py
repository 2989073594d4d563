# SPDX-License-Identifier: GPL-2.0-only
"""What it costs for each packet to keep a policy apart from the mechanism that asks it, in three ways."""
