"""Dense arrays in NumPy's .npy files."""

from pathlib import Path

import numpy as np

from ..errors import FormatError

MAGIC = b"\x93NUMPY"
"""Begins a .npy file."""


def read(path: Path) -> np.ndarray:
    """The array in the .npy file at `path`, in the machine's byte order.

    Raises `FormatError` if the file is missing or damaged, if it is of another kind, and if it
    holds Python objects. A file that claims to be larger than it is costs no memory.
    """
    try:
        with path.open("rb") as file:
            start = file.read(len(MAGIC))
    except OSError as reason:
        raise FormatError(f"cannot read {path}: {reason.strerror}") from None
    if start != MAGIC:
        raise FormatError(f"cannot read {path}: it is no .npy file; {_advice(path, start)}")
    try:
        # Mapped, so that the file's true length bounds what its header asks for.
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        return np.array(mapped, mapped.dtype.newbyteorder("="))
    except Exception as reason:  # a damaged header ends in an error of almost any class
        raise FormatError(
            f"cannot read {path}: it is damaged, or holds no plain numbers ({reason}); make it "
            "again with numpy.save"
        ) from None


def _advice(path: Path, start: bytes) -> str:
    if path.suffix == ".safetensors":
        return "heddle pack takes a model's safetensors file, heddle unpack a packed one"
    if start.startswith(b"PK"):
        return "write each array of an .npz archive to a file of its own, with numpy.save"
    return "make one with numpy.save"
