# SPDX-License-Identifier: GPL-2.0-only
"""The data plane in C; shipped with the package, because it is compiled and swapped where it runs."""

from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent
POLICIES = FOLDER / "policies"
INCLUDE = f"-I{FOLDER}"  # for programs that stand elsewhere
_SUFFIX = ".bpf.c"


def policy_source(name: str) -> Path:
    """The file of a policy."""
    return POLICIES / f"{name}{_SUFFIX}"


@cache
def policy_names() -> tuple[str, ...]:
    """All that there are: a file there is all that a policy needs to be known everywhere."""
    return tuple(sorted(path.name.removesuffix(_SUFFIX) for path in POLICIES.glob(f"*{_SUFFIX}")))
