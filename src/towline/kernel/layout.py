# SPDX-License-Identifier: GPL-2.0-only
"""Whether two programs mean the same memory: types compared member by member, differences in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def differences(running: np.dtype[Any], new: np.dtype[Any], name: str) -> Iterator[str]:
    """What a program that has `new` would find in another place, or of another size, than one that has `running`.

    Members in their order; nothing where the two agree.
    """
    if running.subdtype or new.subdtype:
        if running.shape != new.shape:
            yield f"{name} has {_elements(running)} in the running program and {_elements(new)} in the new one"
            return
        yield from differences(running.base, new.base, name)
        return
    if not running.fields or not new.fields:
        if running.kind != new.kind or running.itemsize != new.itemsize or bool(running.fields) != bool(new.fields):
            yield f"{name} is {_word(running)} in the running program and {_word(new)} in the new one"
        return
    for member, (dtype, offset, *_) in running.fields.items():
        whole = f"{name}.{member}"
        if member not in new.fields:
            yield f"{whole} is not in the new program"
        elif offset != new.fields[member][1]:
            other = new.fields[member][1]
            yield f"{whole} stands at byte {offset} in the running program and at {other} in the new one"
        else:
            yield from differences(dtype, new.fields[member][0], whole)
    for member in new.fields:
        if member not in running.fields:
            yield f"{name}.{member} is not in the running program"
    if running.itemsize != new.itemsize:
        yield f"{name} has {running.itemsize} bytes in the running program and {new.itemsize} in the new one"


def _elements(dtype: np.dtype[Any]) -> str:
    return " x ".join(map(str, dtype.shape)) + " elements" if dtype.shape else "one value"


def _word(dtype: np.dtype[Any]) -> str:
    return f"a struct of {dtype.itemsize} bytes" if dtype.fields else f"{dtype.kind}{8 * dtype.itemsize}"
