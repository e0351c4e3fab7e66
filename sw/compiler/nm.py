"""N:M sparsity of dense arrays: prune to it, and say where an array is not.

N:M along an axis: of every M consecutive elements at most N are not zero. The last group may be
shorter. Selection is by magnitude; of equals the lower index stays.
"""

from itertools import combinations
from typing import Any

import numpy as np

from ..errors import FormatError
from .elements import as_array
from .validity import whole

COMPARED = 16
"""M up to which each element is compared with each: several times as fast as to sort groups."""


class NotSparse(FormatError):
    """An array that is not N:M; `position` is the first group's index, `groups` their number."""

    def __init__(self, n: int, m: int, position: tuple[int, ...], kept: int, groups: int):
        self.position = position
        self.groups = groups
        super().__init__(
            f"not {n}:{m}: {groups} groups keep more than {n} of {m}, the first of them "
            f"({kept} kept) begins at {list(position)}; prune the array first"
        )


def _pattern(n: Any, m: Any) -> tuple[int, int]:
    n, m = whole("N", n), whole("M", m)
    if m < 1 or not 0 <= n <= m:
        raise FormatError(f"N:M needs 0 <= N <= M and M >= 1, not {n}:{m}")
    return n, m


def grouped(dense: np.ndarray, m: int, axis: int) -> np.ndarray:
    """`dense` with `axis` last, zero-padded and split into groups: [..., groups, m]."""
    if dense.ndim == 0 or not -dense.ndim <= whole("axis", axis) < dense.ndim:
        raise FormatError(f"an array of rank {dense.ndim} has no axis {axis}")
    if dense.dtype.kind == "f" and not np.isfinite(dense).all():
        place = np.argwhere(~np.isfinite(dense))[0]
        raise FormatError(f"the array holds {dense[tuple(place)]} at {place.tolist()}")
    moved = np.moveaxis(dense, axis, -1)
    m = min(m, max(1, moved.shape[-1]))  # a group longer than the axis is the axis
    padding = -moved.shape[-1] % m
    moved = np.pad(moved, [(0, 0)] * (moved.ndim - 1) + [(0, padding)])
    return moved.reshape(*moved.shape[:-1], -1, m)


def ungrouped(groups: np.ndarray, length: int, axis: int) -> np.ndarray:
    """What `grouped` made groups of, `length` long along `axis`."""
    flat = groups.reshape(*groups.shape[:-2], -1)[..., :length]
    return np.moveaxis(flat, -1, axis)


def mask(dense: Any, n: int, m: int, axis: int = 0) -> np.ndarray:
    """Where the `n` largest magnitudes of every `m` along `axis` are: bool, as `dense`.

    Raises `FormatError` for a pattern, axis or element that makes no sense.
    """
    (n, m), dense = _pattern(n, m), as_array(dense)
    groups = grouped(dense, m, axis)
    size = np.abs(groups if groups.dtype == np.float32 else groups.astype(np.float64))
    if size.shape[-1] <= COMPARED:
        keep = np.moveaxis(_ahead(np.ascontiguousarray(np.moveaxis(size, -1, 0))) < n, 0, -1)
    else:
        order = np.argsort(-size, axis=-1, kind="stable")
        keep = np.zeros(groups.shape, bool)
        np.put_along_axis(keep, order[..., :n], True, axis=-1)
    return ungrouped(keep, dense.shape[axis], axis)


def _ahead(size: np.ndarray) -> np.ndarray:
    """Of each of M magnitudes [M, …], how many of the others are kept before it."""
    ahead = np.zeros(size.shape, np.uint8)
    for one, other in combinations(range(len(size)), 2):
        larger = size[other] > size[one]
        ahead[one] += larger
        ahead[other] += ~larger
    return ahead


def prune(dense: Any, n: int, m: int, axis: int = 0) -> np.ndarray:
    """`dense` with all but the `n` largest magnitudes of every `m` along `axis` set to zero."""
    dense = as_array(dense)
    return np.where(mask(dense, n, m, axis), dense, np.zeros((), dense.dtype))


def check(dense: Any, n: int, m: int, axis: int = 0) -> None:
    """Raise `NotSparse`, saying where, unless `dense` is `n`:`m` along `axis`."""
    (n, m), dense = _pattern(n, m), as_array(dense)
    kept = np.count_nonzero(grouped(dense, m, axis), axis=-1)
    bad = np.argwhere(kept > n)
    if len(bad):
        *rest, group = bad[0].tolist()
        rest.insert(axis % dense.ndim, group * m)
        raise NotSparse(n, m, tuple(rest), int(kept[tuple(bad[0])]), len(bad))
