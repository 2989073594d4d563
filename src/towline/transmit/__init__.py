# SPDX-License-Identifier: GPL-2.0-only
"""How frames leave, and how what comes back is heard; nothing here decides what is sent."""
