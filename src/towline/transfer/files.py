# SPDX-License-Identifier: GPL-2.0-only
"""Where bytes come from and where they go: files, random bytes, memory."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from towline.errors import FileError
from towline.transfer.parts import is_kept, own_part, remove_kept, sweep

Views = list[NDArray[np.uint8]]

POOL_BYTES = 64 << 20
POOL_PAGE_BYTES = 1 << 20
_POOL_STEP_BYTES = 8 * 12_345_671  # from page to page another place in the pool, 8-byte aligned
_PERMISSION_BITS = 0o777  # set-user-id and its like do not travel


class Source(Protocol):
    """What is sent. Many threads may read."""

    name: str
    size_bytes: int
    mode: int
    mtime_ns: int

    def read_into(self, views: Views, offset: int) -> None:
        """Fill views with the bytes from offset on."""

    def close(self) -> None:
        """Let go."""


class FileSource:
    """A regular file."""

    def __init__(self, path: Path) -> None:
        """Raises FileError where it cannot be read."""
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise FileError(path, f"cannot be read ({error.strerror})") from error
        status = os.fstat(self._fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(self._fd)
            raise FileError(path, "is not a regular file: only files can be sent so far")
        self._path = path
        self.name = path.resolve().name if path.name in ("", ".", "..") else path.name
        self.size_bytes = status.st_size
        self.mode = status.st_mode & _PERMISSION_BITS
        self.mtime_ns = status.st_mtime_ns

    def read_into(self, views: Views, offset: int) -> None:
        """Fill views; FileError where the file has become shorter meanwhile."""
        left = list(views)
        while left:
            try:
                count = os.preadv(self._fd, [view.data for view in left], offset)
            except OSError as error:
                raise FileError(self._path, f"cannot be read ({error.strerror})") from error
            if not count:
                raise FileError(self._path, "became shorter while it was sent")
            offset += count
            while left and count >= len(left[0]):
                count -= len(left.pop(0))
            if count:
                left[0] = left[0][count:]

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


class RandomSource:
    """Random bytes, the same for the same seed: pages of 1 MiB cut from a pool at ever other places, numbered.

    Making random bytes costs more than sending them, so the pool is made before any clock starts.
    """

    def __init__(self, size_bytes: int, seed: int) -> None:
        self.name = f"random-{size_bytes}-{seed}"
        self.size_bytes = size_bytes
        self.mode = 0o644
        self.mtime_ns = 0
        pool_bytes = min(POOL_BYTES, max(size_bytes, 1) + 2 * POOL_PAGE_BYTES)
        words = np.random.PCG64(seed).random_raw(-(-pool_bytes // 8))
        self._pool = words.view(np.uint8)

    def read_into(self, views: Views, offset: int) -> None:
        """Fill views."""
        for view in views:
            at = 0
            while at < len(view):
                page, skip = divmod(offset + at, POOL_PAGE_BYTES)
                size = min(len(view) - at, POOL_PAGE_BYTES - skip)
                self._copy(view[at : at + size], page, skip)
                at += size
            offset += len(view)

    def close(self) -> None:
        """Nothing to let go."""

    def _copy(self, view: NDArray[np.uint8], page: int, skip: int) -> None:
        start = page * _POOL_STEP_BYTES % (len(self._pool) - POOL_PAGE_BYTES + 1) + skip
        view[:] = self._pool[start : start + len(view)]
        if skip < 8:
            number = np.frombuffer(page.to_bytes(8, "little"), np.uint8)[skip : skip + len(view)]
            view[: len(number)] = number


class Sink(Protocol):
    """Where what was received goes."""

    path: Path | None

    def open(self, name: str, mode: int, mtime_ns: int) -> None:
        """The file's entry has come; raises FileError where it may not be written."""

    def write(self, views: Views, offset: int) -> None:
        """Bytes of the file, each once."""

    def finish(self, size_bytes: int) -> None:
        """All of it has come and is verified: make it appear under its name."""

    def discard(self) -> None:
        """Leave nothing; after `finish`, do nothing."""


Inode = tuple[int, int]  # st_dev and st_ino


class FileSink:
    """A file below a folder, written beside its name, synced and renamed."""

    def __init__(self, folder: Path, *, overwrite: bool, kept: str = "") -> None:
        """`kept`: the partial file's name, where another process may have to go on with it."""
        self.path: Path | None = None
        self._folder = folder
        self._overwrite = overwrite
        self._kept = kept
        self._fd = -1
        self._folder_fd = -1
        self._part = ""
        self._name = ""
        self._mode = 0
        self._mtime_ns = 0

    def open(self, name: str, mode: int, mtime_ns: int) -> None:
        """Create the file beside its name. The name was checked: it has no slash and is not `..`."""
        self._name, self._mode, self._mtime_ns = name, mode & _PERMISSION_BITS, mtime_ns
        part = self._kept or own_part(name)
        try:
            self._folder_fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            sweep(self._folder_fd)
            if not self._overwrite and self._inode_of(name):
                raise FileError(self._folder / name, "exists already: move it away, or say --overwrite")
            if self._kept:  # a process that was killed before it could say so may have begun it
                remove_kept(self._folder, self._kept)
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            self._fd = os.open(part, flags, 0o600, dir_fd=self._folder_fd)
            self._part = part
        except OSError as error:
            raise self._error(error) from error

    def inode(self) -> Inode:
        """Of the file that is open."""
        status = os.fstat(self._fd)
        return status.st_dev, status.st_ino

    def open_again(self, name: str, mode: int, mtime_ns: int, inode: Inode) -> bool:
        """The kept partial file as another process has left it. False: that one has finished it.

        Raises FileError where it is neither there nor finished.
        """
        self._name, self._mode, self._mtime_ns = name, mode & _PERMISSION_BITS, mtime_ns
        if not is_kept(self._kept):
            raise FileError(self._folder / name, "was never begun under the name that was kept")
        try:
            self._folder_fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            if self._inode_of(self._kept) is None and self._inode_of(name) == inode:
                self.path = self._folder / name
                self._close()
                return False
            self._fd = os.open(self._kept, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._folder_fd)
            found = os.fstat(self._fd)
            if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or self.inode() != inode:
                raise FileError(self._folder / self._kept, "is another file than the one that was begun")
            self._part = self._kept
        except OSError as error:
            raise self._error(error) from error
        return True

    def descriptor(self) -> int:
        """Of the partial file, to be closed: for who reads it again beside us."""
        return os.dup(self._fd)

    def write(self, views: Views, offset: int) -> None:
        """Write; FileError when the disk is full."""
        left = list(views)
        while left:
            try:
                count = os.pwritev(self._fd, [view.data for view in left], offset)
            except OSError as error:
                raise self._error(error) from error
            offset += count
            while left and count >= len(left[0]):
                count -= len(left.pop(0))
            if count:
                left[0] = left[0][count:]

    def finish(self, size_bytes: int) -> None:
        """Sync, and rename; the folder too, so that a power cut does not undo it."""
        try:
            os.ftruncate(self._fd, size_bytes)
            os.fsync(self._fd)  # it takes long; whoever goes on if we are killed has to be able to write meanwhile
            os.fchmod(self._fd, self._mode)
            os.utime(self._fd, ns=(self._mtime_ns, self._mtime_ns))
            os.fsync(self._fd)
            if self._overwrite:
                os.rename(self._part, self._name, src_dir_fd=self._folder_fd, dst_dir_fd=self._folder_fd)
            else:
                self._link()
            self._part = ""
            os.fsync(self._folder_fd)
        except OSError as error:
            raise self._error(error) from error
        self.path = self._folder / self._name
        self._close()

    def discard(self) -> None:
        """Remove what stands beside the name."""
        if self._part:
            with suppress(OSError):
                os.unlink(self._part, dir_fd=self._folder_fd)
            self._part = ""
        self._close()

    def _link(self) -> None:
        """Under its name, unless there is another file of that name; one who was killed may have come so far."""
        try:
            os.link(self._part, self._name, src_dir_fd=self._folder_fd, dst_dir_fd=self._folder_fd)
        except FileExistsError as error:
            if self._inode_of(self._name) != self.inode():
                raise FileError(self._folder / self._name, "appeared meanwhile, and is left alone") from error
        os.unlink(self._part, dir_fd=self._folder_fd)

    def _inode_of(self, name: str) -> Inode | None:
        """Of what stands in the folder under a name; None: nothing does."""
        try:
            status = os.stat(name, dir_fd=self._folder_fd, follow_symlinks=False)
        except FileNotFoundError:
            return None
        return status.st_dev, status.st_ino

    def _close(self) -> None:
        for fd in (self._fd, self._folder_fd):
            if fd >= 0:
                os.close(fd)
        self._fd = self._folder_fd = -1

    def _error(self, error: OSError) -> FileError:
        return FileError(self._folder / self._name, f"cannot be written ({error.strerror})")


class MemorySink:
    """Payload is placed and checked, and goes nowhere."""

    path: Path | None = None

    def open(self, name: str, mode: int, mtime_ns: int) -> None:
        """Nothing to create."""

    def write(self, views: Views, offset: int) -> None:
        """The bytes stand in their slots, and are verified; that is all."""

    def finish(self, size_bytes: int) -> None:
        """Nothing to rename."""

    def discard(self) -> None:
        """Nothing to remove."""
