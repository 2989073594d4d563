# SPDX-License-Identifier: GPL-2.0-only
"""`receive --persist`: a transfer outlives the process that receives it, and the next one goes on with it."""
