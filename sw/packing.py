"""Compact N:M weights: what is kept of a matrix, and how an array wants it.

`PackedWeights` belongs to no array; `arrange` orders it for one (a column block is a gather, the
weights are never expanded). See docs/format.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..hw.formats import FORMATS, Format
from ..sim.golden.numbers import from_float, is_finite, largest_value, raw_dtype, to_float
from . import nm
from .errors import FormatError
from .validity import GROUP, check_pattern, checked


@dataclass(frozen=True)
class ColumnBlock:
    """The weights of one column block in the order of the array's slots."""

    records: np.ndarray
    """Group records, uint8."""
    values: np.ndarray
    """Raw elements [slots, columns]."""
    indices: np.ndarray
    """Places in the group, uint8 [slots, columns]."""


@dataclass(frozen=True)
class PackedWeights:
    """The kept elements of a K x C matrix in groups of M along K.

    `counts` [groups, C] says how many each group keeps; `values` and `indices` list them by
    group, then column, then place in the group. Parts that do not fit together are refused with a
    `FormatError` when they are put together; the arrays kept are read-only.
    """

    format: Format
    group: int
    pattern: tuple[int, int] | None
    """The n:m that the matrix was packed as (n == m: every element is kept), None: any zeros."""
    shape: tuple[int, int]
    counts: np.ndarray
    values: np.ndarray
    indices: np.ndarray

    def __post_init__(self):
        for name, value in checked(**vars(self)).items():
            object.__setattr__(self, name, value)

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

    def _places(self) -> tuple[np.ndarray, np.ndarray]:
        """Group and column of every kept element."""
        flat = np.repeat(np.arange(self.counts.size), self.counts.ravel())
        return np.divmod(flat, max(1, self.counts.shape[1]))


def pack(
    dense: np.ndarray,
    format: Format | str = "fp16",
    n: int | None = None,
    m: int = 8,
    group: int = GROUP,
) -> PackedWeights:
    """Pack the K x C matrix `dense`: floats, rounded, or raw elements (`to_raw`).

    With `n`, the matrix must be n:m along K, and m divide the hardware's `group`; n == m keeps
    every element, zeros included (a dense product). Without, whatever is not zero is kept.

    Raises `FormatError` for a wrong rank or type, a pattern that the matrix does not have, and an
    element that is not finite in `format`.
    """
    format = _format(format)
    dense = np.asarray(dense)
    if dense.ndim != 2 or 0 in dense.shape:
        raise FormatError(f"weights are a matrix [K, C], not an array of shape {dense.shape}")
    if n is not None:
        check_pattern(n, m, group)
    raw = to_raw(dense, format)
    zero = _is_zero(raw, format)
    if n is not None and n < m:
        nm.check(~zero * np.uint8(1), n, m)

    padding = -raw.shape[0] % group
    raw = np.pad(raw, ((0, padding), (0, 0)))
    kept = np.pad(~zero, ((0, padding), (0, 0)))
    if n == m:
        kept = np.zeros(raw.shape, bool)
        kept[: dense.shape[0]] = True
    shape = (-1, group, dense.shape[1])
    kept = np.ascontiguousarray(kept.reshape(shape).transpose(0, 2, 1))
    values = np.ascontiguousarray(raw.reshape(shape).transpose(0, 2, 1))
    places = np.broadcast_to(np.arange(group, dtype=np.uint8), kept.shape)
    return PackedWeights(
        format,
        group,
        None if n is None else (n, m),
        (int(dense.shape[0]), int(dense.shape[1])),
        np.count_nonzero(kept, axis=2).astype(np.uint8),
        values[kept],
        places[kept],
    )


def to_raw(dense: np.ndarray, format: Format) -> np.ndarray:
    """Floats rounded to `format` (nearest even), or raw elements (unsigned) as they are.

    An integer format takes signed integers too. A format whose every code is a number saturates
    beyond its range, as the device does between layers (`check_range` refuses instead). Raises
    `FormatError` for another type, and for an element that is not finite in `format`.
    """
    dense = np.asarray(dense)
    if dense.dtype.kind in ("f" if format.is_float else "fi"):
        finite = np.isfinite(dense)
        raw = from_float(format, np.where(finite, dense, 0))
        finite &= is_finite(format, raw)
    elif dense.dtype == raw_dtype(format):
        raw = np.array(dense)
        finite = is_finite(format, raw)
    else:
        numbers = "floats" if format.is_float else "floats, signed integers"
        raise FormatError(
            f"elements of {format.name} are {numbers}, or raw {raw_dtype(format).__name__}; "
            f"not {dense.dtype}"
        )
    if not finite.all():
        place = np.argwhere(~finite)[0].tolist()
        raise FormatError(
            f"{dense[tuple(place)]} at {place} is not a finite {format.name} number"
            + (f" ({_range(format)})" if format.is_float else "")
        )
    return raw


def check_range(dense: np.ndarray, format: Format | str) -> None:
    """Raise `FormatError`, saying where, for a number that `format` would saturate."""
    format, dense = _format(format), np.asarray(dense)
    if not format.saturates or dense.dtype.kind not in "fi":
        return
    highest = largest_value(format)
    lowest = -highest if format.is_float else -highest - 1
    rounded = dense if format.is_float else np.rint(dense)
    beyond = np.argwhere((rounded < lowest) | (rounded > highest))
    if len(beyond):
        place = beyond[0].tolist()
        raise FormatError(
            f"{dense[tuple(place)]} at {place} is beyond {format.name} "
            f"({lowest:g} to {highest:g}): divide the matrix by a step that makes it fit, "
            "and multiply its products by that step"
        )


def to_dense(packed: PackedWeights) -> np.ndarray:
    """The K x C matrix as float64."""
    return to_float(packed.format, packed.unpack())


def _format(format: Format | str) -> Format:
    if isinstance(format, Format):
        return format
    if format not in FORMATS:
        raise FormatError(f"no format {format!r}; there are {', '.join(FORMATS)}")
    return FORMATS[format]


def _range(format: Format) -> str:
    """What a float format's numbers are."""
    highest = largest_value(format)
    if not format.window:
        return f"they end at {highest:g}"
    lowest = 2.0 ** (format.lowest_field - format.bias)
    return f"of its codes the array takes zero and magnitudes from {lowest:g} to {highest:g}"


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
