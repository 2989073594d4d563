# SPDX-License-Identifier: GPL-2.0-only
"""Arguments in, exit code out; one file per command."""
