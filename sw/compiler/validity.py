"""Whether packed weights are what they say. It is asked once, when they are made."""

import operator
from typing import Any

import numpy as np

from ...hw.config import GROUPS
from ...hw.errors import one_of
from ...hw.formats import Format
from ...sim.golden.numbers import is_finite, raw_dtype
from ..errors import FormatError

GROUP = 8
"""M of the hardware, unless another is asked for."""


def check_pattern(n: int, m: int, group: int = GROUP) -> tuple[int, int]:
    """N and M as Python's integers. Raises `FormatError` unless matrices that are `n`:`m` can be
    packed in groups of `group`."""
    n, m = whole("N", n), whole("M", m)
    if m < 1 or group % m or not 0 <= n <= m:
        raise FormatError(f"a pattern N:M needs 0 <= N <= M and M dividing {group}, not {n}:{m}")
    return n, m


def check_group(group: int) -> int:
    """A group's size as Python's integer. Raises `FormatError` unless a device has such groups."""
    group = whole("group", group)
    if group not in GROUPS:
        raise FormatError(f"a device's group is {one_of(GROUPS)}, not {group}")
    return group


def checked(
    format: Format, group: int, pattern, shape, counts, values, indices, scale=None
) -> dict[str, Any]:
    """The fields of `packing.PackedWeights` as they are to be kept: whole numbers as int, arrays
    contiguous, in the machine's byte order and read-only.

    Raises `FormatError`, saying what is wrong, unless every group lists places that ascend, lie
    inside the matrix and fit the pattern, each with a finite element: nothing downstream has to
    doubt it.
    """
    if not isinstance(format, Format):
        raise FormatError(f"the format must be one of heddle.hw.formats, not {format!r}")
    group = check_group(group)
    rows, columns = _pair("shape", shape)
    if rows < 1 or columns < 1:
        raise FormatError(f"the shape must be [K, C], each at least 1, not {[rows, columns]}")
    if pattern is not None:
        pattern = check_pattern(*_pair("pattern", pattern), group)
    counts = _array("counts", counts, np.uint8, (-(-rows // group), columns))
    if counts.max() > group:
        raise FormatError(f"counts: {counts.max()} are kept in a group of {group}")
    kept = (int(counts.sum(dtype=np.int64)),)
    values = _array("values", values, raw_dtype(format), kept)
    indices = _array("indices", indices, np.uint8, kept)
    # Of every kept element, numbered through all groups.
    places = np.repeat(np.arange(counts.size) * group, counts.ravel()) + indices
    _check_places(group, rows, counts, indices, places)
    if pattern is not None:
        _check_kept(group, *pattern, rows, counts, places)
    if (largest := int(values.max(initial=0))) >> format.code_bits:
        raise FormatError(f"values: {largest:#x} has more bits than a {format.name} number")
    if not (finite := is_finite(format, values)).all():
        raise FormatError(
            f"values: number {np.argmin(finite)} is not a finite {format.name} number"
        )
    if scale is not None:
        scale = _array("scale", scale, np.float64, (columns,))
        if not (np.isfinite(scale) & (scale > 0)).all():
            raise FormatError("scale: numbers above zero, one for each column")
    return {
        "group": group,
        "pattern": pattern,
        "shape": (rows, columns),
        "counts": counts,
        "values": values,
        "indices": indices,
        "scale": scale,
    }


def whole(name: str, value) -> int:
    """An integer of any library as Python's. Raises `FormatError` for anything else."""
    try:
        if not isinstance(value, bool | np.bool_):
            return operator.index(value)
    except TypeError:
        pass
    raise FormatError(f"{name}: {value!r} is no whole number")


def _pair(name: str, value) -> tuple[int, int]:
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise FormatError(f"the {name} must be two whole numbers, not {value!r}")
    return whole(name, value[0]), whole(name, value[1])


def _array(name: str, value, dtype: type, shape: tuple[int, ...]) -> np.ndarray:
    """`value`, which must be of this type, in any byte order, and of this shape."""
    if not isinstance(value, np.ndarray):
        raise FormatError(f"{name} must be a NumPy array, not {type(value).__name__}")
    if value.dtype.newbyteorder("=") != dtype or value.shape != shape:
        raise FormatError(
            f"{name} must be {dtype.__name__} of shape {list(shape)}, not {value.dtype} of shape "
            f"{list(value.shape)}"
        )
    kept = np.ascontiguousarray(value, dtype).view(np.ndarray)
    kept.flags.writeable = False
    return kept


def _check_places(
    group: int, rows: int, counts: np.ndarray, indices: np.ndarray, places: np.ndarray
) -> None:
    """Raise `FormatError` unless places ascend within their group and lie inside the matrix."""
    if indices.max(initial=0) >= group:
        raise FormatError(f"indices: a group of {group} has no place {indices.max()}")
    wrong = np.flatnonzero(places[1:] <= places[:-1])
    if len(wrong):
        where = _where(group, counts, places[wrong[0]])
        raise FormatError(f"indices: places must ascend within a group; they do not in {where}")
    last = indices[len(indices) - int(counts[-1].sum(dtype=np.int64)) :]
    inside = rows - (len(counts) - 1) * group
    if last.max(initial=0) >= inside:
        raise FormatError(
            f"indices: the last group has {inside} of {group} places (K is {rows}), but an element "
            f"is at {last.max()}"
        )


def _check_kept(
    group: int, n: int, m: int, rows: int, counts: np.ndarray, places: np.ndarray
) -> None:
    """Raise `FormatError` unless as many elements are kept as n:m says."""
    if n == m:
        lengths = np.full((len(counts), 1), group)
        lengths[-1] = rows - (len(counts) - 1) * group
        if (counts != lengths).any():
            raise FormatError(f"counts: {n}:{m} keeps every element; some are missing")
        return
    part = places // m
    # Places ascend, so more than n of one part stand together.
    wrong = np.flatnonzero(part[n:] == part[: max(0, len(part) - n)])
    if len(wrong):
        where = _where(group, counts, places[wrong[0]])
        raise FormatError(f"indices: more than {n} of {m} are kept in {where}, not {n}:{m}")


def _where(group: int, counts: np.ndarray, place: int) -> str:
    number, column = divmod(int(place) // group, counts.shape[1])
    return f"group {number} of column {column}"
