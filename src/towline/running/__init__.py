# SPDX-License-Identifier: GPL-2.0-only
"""Programs that run, seen and replaced from outside the processes that started them."""
