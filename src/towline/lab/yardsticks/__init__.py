# SPDX-License-Identifier: GPL-2.0-only
"""The same bytes by other means; each is a module with one function: measure(job) returns a record."""
