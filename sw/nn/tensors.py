"""safetensors files, ours and others': what is in them, one tensor read at a time."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from safetensors import safe_open

from ...hw.formats import E4M3, E5M2
from ...sim.golden.numbers import to_float
from ..errors import FormatError

FP8 = {"F8_E4M3": E4M3, "F8_E5M2": E5M2}
"""Types that NumPy lacks and that are elements' formats."""


class Tensors:
    """An open safetensors file."""

    def __init__(self, path: Path, file):
        self._path = path
        self._file = file
        self.metadata: dict[str, str] = file.metadata() or {}
        self.names: list[str] = sorted(file.keys())

    def type(self, name: str) -> str:
        """As the file calls it: F32, BF16, ..."""
        return self._file.get_slice(name).get_dtype()

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._file.get_slice(name).get_shape())

    def read(self, name: str) -> np.ndarray:
        """A tensor; BF16 as float32 and 8-bit floats as float64, exactly.

        Raises `FormatError` if NumPy cannot hold its type or shape.
        """
        try:
            if (type := self.type(name)) == "BF16":
                return (self._bytes(name, "<u2").astype(np.uint32) << 16).view(np.float32)
            if type in FP8:
                return to_float(FP8[type], self._bytes(name, "u1"))
            return self._file.get_tensor(name)
        except Exception as reason:  # whatever the library says: it names no errors for this
            raise FormatError(
                f"{self._path}: tensor {name!r} ({self.type(name)}) cannot be read ({reason})"
            ) from None

    def _bytes(self, name: str, dtype: str) -> np.ndarray:
        """A tensor as unsigned numbers. The library has seen that the header is right."""
        with open(self._path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            start = 8 + length + json.loads(file.read(length))[name]["data_offsets"][0]
            file.seek(start)
            shape = self.shape(name)
            return np.fromfile(file, dtype, int(np.prod(shape))).reshape(shape)


@contextmanager
def opened(path: str | Path) -> Iterator[Tensors]:
    """The safetensors file at `path`.

    Raises `FormatError` if it is missing, cut short, or no such file.
    """
    path = Path(path)
    if path.is_dir():
        raise FormatError(f"{path} is a folder, not a file")
    try:
        file = safe_open(str(path), framework="numpy")
    except FileNotFoundError:
        raise FormatError(f"there is no file {path}") from None
    except Exception as reason:  # of the library's own, of the system, of text that is none
        raise FormatError(
            f"{path} is truncated or no safetensors file ({reason}); copy it again"
        ) from None
    with file:
        yield Tensors(path, file)
