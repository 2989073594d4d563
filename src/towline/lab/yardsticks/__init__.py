# SPDX-License-Identifier: GPL-2.0-only
"""The same bytes by other means; each is a module with one function: measure(job, path) returns a record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from towline.lab.yardsticks.table import YARDSTICKS

__all__ = ["YARDSTICKS"]


def __getattr__(name: str) -> Any:
    # Late: the processes at the ends import this package, too, and are to be as small as they can be.
    if name == "YARDSTICKS":
        from towline.lab.yardsticks.table import YARDSTICKS as TABLE  # noqa: PLC0415

        return TABLE
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
