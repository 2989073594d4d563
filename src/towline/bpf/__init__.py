# SPDX-License-Identifier: GPL-2.0-only
"""The data plane in C; shipped with the package, because it is compiled and swapped where it runs."""

from pathlib import Path

FOLDER = Path(__file__).parent
POLICIES = FOLDER / "policies"
INCLUDE = f"-I{FOLDER}"  # for programs that stand elsewhere
