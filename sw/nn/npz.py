"""Data sets in NumPy's .npz files: images or other rows of numbers, and a label for each."""

import zipfile
from pathlib import Path

import numpy as np

from ..errors import DataError

SUFFIX = ".npz"
NAMES = ("train_x", "train_y", "test_x", "test_y")
MOST_CLASSES = 10_000


def read(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The arrays of `NAMES`: x [count, …], flattened to float32 [count, numbers], bytes divided by
    255; y [count], whole numbers from 0 on. Those to test with may be missing.

    Raises `DataError` for a file that is missing, damaged, or holds something else.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            held = {name: file[name] for name in NAMES if name in file}
    except FileNotFoundError:
        raise DataError(f"there is no file {path}") from None
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as reason:
        raise DataError(f"{path} is damaged or no .npz file of plain arrays ({reason})") from None
    if missing := [name for name in NAMES[:2] if name not in held]:
        raise DataError(f"{path} has no {' and no '.join(missing)}; it may have {', '.join(NAMES)}")
    train_x, train_y = _pair(path, "train", held)
    if NAMES[2] not in held:
        return train_x, train_y, train_x[:0], train_y[:0]
    test_x, test_y = _pair(path, "test", held)
    if test_x.shape[1:] != train_x.shape[1:]:
        raise DataError(
            f"{path}: a row of train_x has {train_x.shape[1]:,} numbers, and one of test_x "
            f"{test_x.shape[1]:,}"
        )
    return train_x, train_y, test_x, test_y


def _pair(path: Path, part: str, held: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    x, y = held[f"{part}_x"], held.get(f"{part}_y")
    if y is None or x.ndim < 2 or y.shape != (len(x),) or not x.size:
        shape = "missing" if y is None else list(y.shape)
        raise DataError(
            f"{path}: {part}_x is to be [count, …] and {part}_y [count], not {list(x.shape)} and "
            f"{shape}"
        )
    if x.dtype.kind not in "fiub" or y.dtype.kind not in "iu":
        raise DataError(
            f"{path}: {part}_x is to be numbers and {part}_y whole ones, not {x.dtype} and "
            f"{y.dtype}"
        )
    scaled = x / 255 if x.dtype == np.uint8 else x
    scaled = scaled.reshape(len(x), -1).astype(np.float32)
    if not np.isfinite(scaled).all():
        raise DataError(f"{path}: {part}_x holds what is no finite number")
    if not 0 <= y.min() <= y.max() < MOST_CLASSES:
        raise DataError(
            f"{path}: labels in {part}_y are {y.min()} to {y.max()}, not from 0 to less than "
            f"{MOST_CLASSES:,}"
        )
    return scaled, y.astype(np.int64)
