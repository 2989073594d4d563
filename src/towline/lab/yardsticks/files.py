# SPDX-License-Identifier: GPL-2.0-only
"""The two files of a yardstick that copies one: the source, and a copy that is gone when it was compared."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from towline.errors import SettingsError
from towline.lab import leftovers, verify
from towline.lab.yardsticks.job import Job


@dataclass(frozen=True, kw_only=True)
class Files:
    """Absolute paths; `part`: the copy before it is whole, where a yardstick gives it another name."""

    source: Path
    copy: Path

    @property
    def part(self) -> Path:
        """Beside the copy, and hidden."""
        return self.copy.with_name(f".{self.copy.name}.part")

    def received_bytes(self) -> int:
        """How much of the file has arrived."""
        for path in (self.copy, self.part):
            if path.exists():
                return path.stat().st_size
        return 0

    def verified(self) -> bool:
        """Whether the copy has the bytes of the source."""
        return self.copy.exists() and verify.same(verify.file_chunks(self.source), self.copy)


@contextmanager
def files(job: Job, yardstick: str) -> Iterator[Files]:
    """A job's files: random bytes are written to one first.

    Raises FileError where the source cannot be looked at, SettingsError for a job that stops by the clock.
    """
    if job.seconds is not None:
        raise SettingsError(f"the yardstick {yardstick} copies whole files: it cannot stop by the clock")
    size_bytes = job.source_bytes
    with ExitStack() as stack:
        source = job.source
        if isinstance(source, int):
            source = stack.enter_context(leftovers.temporary_folder(2 * size_bytes)) / "source"
            with source.open("wb", buffering=0) as file:
                for chunk in verify.source_chunks(size_bytes, job.seed):
                    file.write(chunk)
        output = job.output or stack.enter_context(leftovers.temporary_folder(size_bytes))
        found = Files(source=source.absolute(), copy=(output / f"{source.name}.{yardstick}").absolute())
        for path in (found.copy, found.part):
            stack.callback(path.unlink, missing_ok=True)
        yield found
