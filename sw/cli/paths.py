"""Files and folders that a user names."""

import tempfile
from pathlib import Path

import numpy as np

from ..errors import DataError, FormatError


def read(path: Path) -> np.ndarray:
    """The array in a ``.npy`` file. Raises `FormatError`."""
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as reason:
        raise FormatError(f"cannot read {path} as a NumPy .npy array: {reason}") from None


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
