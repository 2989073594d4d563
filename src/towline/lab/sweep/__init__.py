# SPDX-License-Identifier: GPL-2.0-only
"""A plan carried out: its design, its runs, and the folder that they are kept in."""
