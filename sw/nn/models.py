"""Weights of a model in a safetensors file, of whatever framework: its matrices, packed."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...hw.formats import Format
from ..compiler.packing import PackedWeights, pack, to_dense
from ..errors import FormatError, PrecisionWarning
from . import container
from .tensors import Tensors, opened

MOST_LISTED = 20
"""Names of tensors that an error lists."""


@dataclass(frozen=True)
class Rounding:
    """What packing did to elements that were floats."""

    changed: int
    lost: int
    """Of those: became zero."""

    @classmethod
    def of(cls, dense: np.ndarray, packed: PackedWeights) -> "Rounding":
        if dense.dtype.kind != "f":
            return cls(0, 0)
        held = to_dense(packed)
        changed = held != dense
        return cls(np.count_nonzero(changed), np.count_nonzero(changed & (held == 0)))


@dataclass(frozen=True)
class Outcome:
    """What became of a tensor."""

    name: str
    type: str
    """As the file calls it."""
    shape: tuple[int, ...]
    packed: PackedWeights | None = None
    rounding: Rounding = Rounding(0, 0)
    skipped: str = ""
    """Why it was not packed."""


def pack_matrix(
    dense: np.ndarray,
    format: Format | str,
    n: int | None,
    m: int,
    transpose: bool = False,
    scale: str | None = None,
) -> tuple[PackedWeights, Rounding]:
    """`packing.pack`, of the transposed matrix if so asked, and what rounding did.

    Raises `FormatError`.
    """
    dense = dense.T if transpose else dense
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PrecisionWarning)  # what became zero is counted
        packed = pack(dense, format, n, m, scale=scale)
    return packed, Rounding.of(dense, packed)


def pack_model(
    path: Path,
    format: Format | str,
    n: int | None = None,
    m: int = 8,
    *,
    tensor: str | None = None,
    transpose: bool = False,
    scale: str | None = None,
) -> Iterator[Outcome]:
    """Pack every matrix of the safetensors file at `path`, or the one called `tensor`.

    A matrix is [K, C]; `transpose` takes [C, K] (PyTorch's Linear keeps [out, in]). Types that are
    read: integers, F16, BF16, F32, F64 and 8-bit floats.
    Tensors that cannot be packed are skipped; with `tensor` that is an error. Raises `FormatError`.
    """
    pack(np.zeros((1, 1)), format, n, m)  # a wrong format or pattern is said now, and once
    with opened(path) as file:
        if file.metadata.get("kind") == container.KIND:
            raise FormatError(f"{path} is packed already; heddle unpack writes a matrix of it out")
        if tensor is not None and tensor not in file.names:
            raise FormatError(f"{path} has no tensor {tensor!r}; it has {_listed(file.names)}")
        for name in file.names if tensor is None else [tensor]:
            what = name, file.type(name), file.shape(name)
            try:
                container.check_name(name)
                made = pack_matrix(_matrix(file, name), format, n, m, transpose, scale)
                yield Outcome(*what, *made)
            except FormatError as reason:
                if tensor is not None:
                    raise FormatError(f"{path}: tensor {name!r}: {reason}") from None
                yield Outcome(*what, skipped=str(reason))


def _matrix(file: Tensors, name: str) -> np.ndarray:
    if (rank := len(file.shape(name))) != 2:
        raise FormatError(f"of rank {rank}, no matrix")
    return file.read(name)


def _listed(names: list[str]) -> str:
    shown = ", ".join(map(repr, names[:MOST_LISTED]))
    return f"{shown} and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else shown
