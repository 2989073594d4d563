# SPDX-License-Identifier: GPL-2.0-only
"""towline beside other tools: the same file over the same path, in turns."""
