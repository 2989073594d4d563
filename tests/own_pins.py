# SPDX-License-Identifier: GPL-2.0-only
"""A folder of the test's own on the machine's bpffs, in the place of ours: other processes' pins are not touched."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from towline.kernel import bpffs, predecessors

_number = count()


def keep(link: int, program_fd: int) -> None:
    """The program that a link held before, as a swap does."""
    with predecessors.keeping(link, program_fd) as now:
        now()


@contextmanager
def own_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where it is; not made yet, and gone afterwards with all in it."""
    name = f"towline-test-{os.getpid()}-{next(_number)}"
    mounted = bpffs._mounted() or bpffs.folder().parent  # which mounts a bpffs where there is none
    path = mounted / name
    with monkeypatch.context() as patch:
        patch.setattr(bpffs, "OURS", name)
        try:
            yield path
        finally:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
