# SPDX-License-Identifier: GPL-2.0-only
"""The world an experiment needs; it starts the same send and receive that a user types."""
