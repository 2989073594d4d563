# SPDX-License-Identifier: GPL-2.0-only
"""Thousands of random transfers over impaired paths: what a table of cases would not have thought of."""
