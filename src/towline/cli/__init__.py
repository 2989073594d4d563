# SPDX-License-Identifier: GPL-2.0-only
"""Arguments in, exit code out; one file per command."""

import os

# Before numpy is loaded: its BLAS, which nothing here uses, would start a thread per CPU that spins for work.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
