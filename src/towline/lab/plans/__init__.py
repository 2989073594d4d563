# SPDX-License-Identifier: GPL-2.0-only
"""Plans: the question of an experiment as TOML, checked cell by cell before anything runs."""
