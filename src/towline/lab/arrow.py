# SPDX-License-Identifier: GPL-2.0-only
"""Parquet is optional: pyarrow is imported when a sweep needs it, and not by every `towline send`."""

from __future__ import annotations

from typing import Any

from towline.errors import UnsupportedError


def arrow() -> Any:
    """The module pyarrow; UnsupportedError says how to get it."""
    try:
        import pyarrow  # noqa: PLC0415 (it takes a third of a second, and whoever only moves files has no use for it)
    except ImportError:
        raise UnsupportedError("a sweep", "the Python package pyarrow (pip install 'towline[lab]')") from None
    return pyarrow


def parquet() -> Any:
    """The module pyarrow.parquet."""
    arrow()
    import pyarrow.parquet  # noqa: PLC0415

    return pyarrow.parquet
