# SPDX-License-Identifier: GPL-2.0-only
"""towline moves files between Linux machines reliably, with the acknowledgement path in the kernel."""

__version__ = "0.1.0"
