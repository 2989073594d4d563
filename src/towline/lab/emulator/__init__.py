# SPDX-License-Identifier: GPL-2.0-only
"""The emulator of a path: what it is to do to frames, its process, and how it is told."""
