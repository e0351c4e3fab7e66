"""Files that a user asked for: whole or not at all, and with the rights that any new file gets."""

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..errors import DataError


def write(path: str | Path, content: str | bytes) -> None:
    """Write `content`, text as UTF-8, to the file `path` (see `replacing`)."""
    with replacing(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def write_array(path: str | Path, array: np.ndarray) -> None:
    """Write `array` to the .npy file `path`, under exactly that name (see `replacing`)."""
    with replacing(path) as file:
        np.save(file, array, allow_pickle=False)


@contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """A file to write, which becomes `path` when the block ends without an error.

    Until then, and after an error, what was at `path` is as it was. A new file has the rights that
    the umask leaves, one that was there keeps its own; of a symbolic link the target is written.
    Missing folders are made. What is no plain file (a pipe, /dev/stdout) is written as it stands.
    Raises `DataError` if the file cannot be written.
    """
    try:
        yield from _replacing(Path(os.path.realpath(path)))
    except OSError as reason:
        raise DataError(f"cannot write {path}: {reason.strerror or reason}") from reason


def _replacing(target: Path) -> Iterator[BinaryIO]:
    try:
        there = target.stat()
    except FileNotFoundError:
        there = None
    if there and not stat.S_ISREG(there.st_mode):
        with target.open("wb") as file:
            yield file
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".heddle-{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as file:
            yield file
        if there:
            part.chmod(stat.S_IMODE(there.st_mode))
        os.replace(part, target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
