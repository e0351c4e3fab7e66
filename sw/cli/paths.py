"""Files and folders that a user names."""

import tempfile
from pathlib import Path

from ..errors import DataError, FormatError


def folder(path: Path) -> Path:
    """`path`, made if it is missing. Raises `DataError` unless files can be made in it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as reason:
        raise DataError(
            f"cannot write into the folder {path} ({reason.strerror}); name another"
        ) from None
    return path


def writable(path: Path, force: bool) -> Path:
    """`path`, a file that can be made, and its folder there. Raises `FormatError`, `DataError`."""
    if path.is_dir():
        raise FormatError(f"{path} is a folder; name a file to write")
    if path.exists() and not force:
        raise FormatError(f"{path} exists; --force overwrites it")
    folder(path.parent)
    return path
