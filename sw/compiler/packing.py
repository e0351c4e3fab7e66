"""Compact N:M weights: what is kept of a matrix, and how an array wants it.

`PackedWeights` belongs to no array; `arrange` orders it for one (a column block is a gather, the
weights are never expanded). See docs/format.md.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...hw.formats import Format
from ...sim.golden.numbers import to_float
from ..errors import FormatError, PrecisionWarning
from ..lib.contents import Contents
from . import nm
from .elements import Raw, as_array, format_of, to_raw
from .scaling import divided, quantise
from .validity import GROUP, check_group, check_pattern, checked

MANY = 0.01
"""Share of weights that may become zero in a float format without a word."""


@dataclass(frozen=True, eq=False)
class ColumnBlock(Contents):
    """The weights of one column block in the order of the array's slots."""

    records: np.ndarray
    """Group records, uint8."""
    values: np.ndarray
    """Raw elements [slots, columns]."""
    indices: np.ndarray
    """Places in the group, uint8 [slots, columns]."""


@dataclass(frozen=True, eq=False, repr=False)
class PackedWeights(Contents):
    """The kept elements of a K x C matrix in groups of M along K.

    `counts` [groups, C] says how many each group keeps; `values` (raw elements) and `indices` list
    them by group, then column, then place in the group. Parts that do not fit together are refused
    with a `FormatError` when they are put together; the arrays kept are read-only. Two are equal if
    all that they hold is.
    """

    format: Format
    group: int
    pattern: tuple[int, int] | None
    """The n:m that the matrix was packed as (n == m: every element is kept), None: any zeros."""
    shape: tuple[int, int]
    counts: np.ndarray
    values: np.ndarray
    indices: np.ndarray
    scale: np.ndarray | None = None
    """What a one among each column's elements stands for, float64 [C]; None: for one."""

    def __post_init__(self):
        for name, value in checked(**vars(self)).items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        (rows, columns), kept = self.shape, len(self.values)
        pattern = "any zeros" if self.pattern is None else "{}:{}".format(*self.pattern)
        scaled = "" if self.scale is None else ", scaled by column"
        return (
            f"<PackedWeights {rows} x {columns} {self.format.name}, {pattern}{scaled}: "
            f"{kept:,} kept ({kept / (rows * columns):.1%}), {self.nbytes:,} bytes>"
        )

    @property
    def nbytes(self) -> int:
        """Size of values and indices (four bits each) and counts as the device takes them."""
        values = -(-len(self.values) * self.format.bits // 8)
        return values + (len(self.indices) + 1) // 2 + self.counts.size

    def groups(self, start: int, stop: int) -> "PackedWeights":
        """The part for groups `start` to `stop` of K."""
        offsets = np.concatenate([[0], np.cumsum(self.counts.sum(axis=1, dtype=np.int64))])
        part = slice(offsets[start], offsets[stop])
        rows = min(stop * self.group, self.shape[0]) - start * self.group
        return PackedWeights(
            self.format,
            self.group,
            self.pattern,
            (rows, self.shape[1]),
            self.counts[start:stop],
            self.values[part],
            self.indices[part],
            self.scale,
        )

    def most(self) -> int:
        """The largest N of any group."""
        return int(self.counts.max(initial=0))

    def blocks(self, columns: int, interleave: int = 1) -> Iterator[ColumnBlock]:
        """The column blocks for an array of `columns`, one after another."""
        yield from _arrange(self, columns, interleave)

    def unpack(self) -> np.ndarray:
        """The raw K x C matrix, zeros put back."""
        groups, columns = self.counts.shape
        dense = np.zeros((groups, columns, self.group), self.values.dtype)
        group, column = self._places()
        dense[group, column, self.indices] = self.values
        return dense.transpose(0, 2, 1).reshape(-1, columns)[: self.shape[0]]

    def places(self) -> tuple[np.ndarray, np.ndarray]:
        """Row and column of every kept element, in the order of `values`."""
        group, column = self._places()
        return group * self.group + self.indices, column

    def _places(self) -> tuple[np.ndarray, np.ndarray]:
        """Group and column of every kept element."""
        flat = np.repeat(np.arange(self.counts.size), self.counts.ravel())
        return np.divmod(flat, max(1, self.counts.shape[1]))


def pack(
    dense: Any,
    format: Format | str = "fp16",
    n: int | None = None,
    m: int = 8,
    group: int = GROUP,
    scale: Any = None,
) -> PackedWeights:
    """Pack the K x C matrix `dense`: numbers (see `sw.compiler.elements`), or elements as `Raw`.

    With `n`, the matrix must be n:m along K, and m divide the hardware's `group`; n == m keeps
    every element, zeros included (a dense product). Without, whatever is not zero is kept.

    `scale` makes numbers fit the format: they are divided by it first, and `matmul` multiplies by
    it again. "column" chooses it for each column so that its largest magnitude becomes the format's
    largest element; or it is numbers, one or C of them.

    Raises `FormatError` for a wrong rank or type, a pattern that the matrix does not have, and a
    number that is no element of `format`: not finite there, or for INT8 a fraction or beyond -128
    to 127. Warns (`PrecisionWarning`) if more than one in a hundred weights become zero.
    """
    format = format_of(format)
    if not isinstance(dense, Raw):
        dense = as_array(dense, "weights")
    elif scale is not None:
        raise FormatError("raw elements cannot be scaled: they are elements already")
    shape = np.shape(dense.bits if isinstance(dense, Raw) else dense)
    if len(shape) != 2 or 0 in shape:
        raise FormatError(f"weights are a matrix [K, C], not an array of shape {shape}")
    group = check_group(group)
    if n is not None:
        n, m = check_pattern(n, m, group)
    steps = None
    if scale is not None:
        dense, steps = _scaled(dense, format, scale)
    raw = to_raw(dense, format, "weights")
    zero = _is_zero(raw, format)
    if not isinstance(dense, Raw) and scale is None:
        _warn_of_zeros(dense, zero, format)
    if n is not None and n < m:
        nm.check(~zero * np.uint8(1), n, m)

    padding = -raw.shape[0] % group
    raw = np.pad(raw, ((0, padding), (0, 0)))
    kept = np.pad(~zero, ((0, padding), (0, 0)))
    if n == m:
        kept = np.zeros(raw.shape, bool)
        kept[: shape[0]] = True
    grouped = (-1, group, shape[1])
    kept = np.ascontiguousarray(kept.reshape(grouped).transpose(0, 2, 1))
    values = np.ascontiguousarray(raw.reshape(grouped).transpose(0, 2, 1))
    places = np.broadcast_to(np.arange(group, dtype=np.uint8), kept.shape)
    return PackedWeights(
        format,
        group,
        None if n is None else (n, m),
        shape,
        np.count_nonzero(kept, axis=2).astype(np.uint8),
        values[kept],
        places[kept],
        steps,
    )


def _scaled(dense: np.ndarray, format: Format, scale: Any) -> tuple[np.ndarray, np.ndarray]:
    """Elements of `dense`, and the steps [C] that they count in."""
    if isinstance(scale, str):
        if scale != "column":
            raise FormatError(f'a scale is "column" or numbers, not {scale!r}')
        return quantise(dense, format, axis=0)
    steps = as_array(scale, "scale").astype(np.float64)
    if steps.shape not in ((), (dense.shape[1],)) or not (np.isfinite(steps) & (steps > 0)).all():
        raise FormatError(
            f"scale: one number above zero, or one for each of {dense.shape[1]} columns"
        )
    steps = np.broadcast_to(steps, dense.shape[1]).copy()
    return divided(dense, steps, format), steps


def _warn_of_zeros(dense: np.ndarray, zero: np.ndarray, format: Format) -> None:
    lost, of = np.count_nonzero(zero & (dense != 0)), np.count_nonzero(dense)
    if lost > MANY * of:
        warnings.warn(
            f"{lost:,} of {of:,} weights that are not zero become zero in {format.name}: "
            'scale="column" makes the most of the format',
            PrecisionWarning,
            stacklevel=3,
        )


def to_dense(packed: PackedWeights) -> np.ndarray:
    """The K x C matrix that `packed` stands for, its scale included, as float64."""
    dense = to_float(packed.format, packed.unpack())
    return dense if packed.scale is None else dense * packed.scale


def _is_zero(raw: np.ndarray, format: Format) -> np.ndarray:
    """Both zeros of a float are zero: they add nothing."""
    magnitude = (1 << (format.code_bits - 1)) - 1
    return (raw & magnitude == 0) if format.is_float else raw == 0


def _arrange(packed: PackedWeights, columns: int, interleave: int) -> Iterator[ColumnBlock]:
    wide = columns * interleave
    group_of, column_of = packed._places()
    # Place of each element within its group and column: its round.
    ends = np.cumsum(packed.counts.ravel(), dtype=np.int64)
    first = np.repeat(ends - packed.counts.ravel(), packed.counts.ravel())
    round_of = np.arange(len(packed.values)) - first
    count_bits = packed.group.bit_length()
    # One sort puts every block's elements together; each block then looks at its own only.
    block_of = column_of // wide
    order = np.argsort(block_of, kind="stable")
    blocks = -(-packed.shape[1] // wide)
    bounds = np.searchsorted(block_of[order], np.arange(blocks + 1))
    for block in range(blocks):
        start = block * wide
        fullest = packed.counts[:, start : start + wide].max(axis=1).astype(np.int64)
        offsets = np.cumsum(fullest) - fullest
        rounds = int(fullest.sum())
        values = np.zeros((rounds, wide), packed.values.dtype)
        indices = np.zeros((rounds, wide), np.uint8)
        mine = order[bounds[block] : bounds[block + 1]]
        row = offsets[group_of[mine]] + round_of[mine]
        values[row, column_of[mine] - start] = packed.values[mine]
        indices[row, column_of[mine] - start] = packed.indices[mine]
        yield ColumnBlock(
            _records(fullest, count_bits),
            values.reshape(-1, columns),
            indices.reshape(-1, columns),
        )


def _records(fullest: np.ndarray, count_bits: int) -> np.ndarray:
    """Group records (count, skip above it); empty groups are skipped."""
    records = []
    most = (1 << (8 - count_bits)) - 1
    empty = 0
    for count in fullest.tolist():
        if not count:
            empty += 1
            continue
        while empty > most:
            # A record without weights passes its skip and one group more.
            records.append(most << count_bits)
            empty -= most + 1
        records.append(count | empty << count_bits)
        empty = 0
    return np.array(records or [0], np.uint8)
