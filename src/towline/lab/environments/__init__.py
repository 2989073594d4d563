# SPDX-License-Identifier: GPL-2.0-only
"""Where an experiment runs; each is entered, offers two ends and a path, and is left clean."""
