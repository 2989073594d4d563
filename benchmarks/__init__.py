# SPDX-License-Identifier: GPL-2.0-only
"""What `make bench` runs: towline beside a bare copy loop and TCP, in one run."""
