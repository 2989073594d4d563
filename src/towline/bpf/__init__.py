# SPDX-License-Identifier: GPL-2.0-only
"""The data plane in C; shipped with the package, because it is compiled and swapped where it runs."""
