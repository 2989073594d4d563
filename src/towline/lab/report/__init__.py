# SPDX-License-Identifier: GPL-2.0-only
"""What a sweep has found, as pages that open offline: one sweep, two compared, many with an index."""

from towline.lab.report.difference import difference
from towline.lab.report.index import index, sweeps_in
from towline.lab.report.sweep_page import figures, write

__all__ = ["difference", "figures", "index", "sweeps_in", "write"]
