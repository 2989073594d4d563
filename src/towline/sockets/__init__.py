# SPDX-License-Identifier: GPL-2.0-only
"""Ordinary sockets in batches: control messages on both datapaths, and the whole data plane of the socket datapath."""
