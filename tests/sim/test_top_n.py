"""Top N of M over every magnitude of a half beside its next ones: the order is FP16's."""

import ctypes
from functools import cache

import numpy as np
import pytest

from heddle.hw.prune.top_n import TopN

from .compiled import compiled

SIZE = 8
INFINITE = 0x7C00
INDEX, LAST = 32, 35
"""Where in an element these fields begin, behind its value."""


@cache
def library() -> ctypes.CDLL:
    found = compiled(TopN(SIZE), "top_n.cpp")
    found.top_n_run.restype = ctypes.c_uint64
    return found


def kept(n: int, values: np.ndarray) -> np.ndarray:
    """Which elements leave of lines [lines, SIZE] of binary32, as words: value, index, last."""
    last = np.arange(SIZE) == SIZE - 1
    places = np.arange(SIZE, dtype=np.uint64) << np.uint64(INDEX)
    words = values.view(np.uint32).astype(np.uint64) | places | (last.astype(np.uint64) << LAST)
    words, made = words.ravel(), np.zeros(n * len(values) + 1, np.uint64)
    pointers = [array.ctypes.data_as(ctypes.c_void_p) for array in (words, made)]
    sizes = [ctypes.c_uint64(array.size) for array in (words, made)]
    count = library().top_n_run(ctypes.c_uint8(n), pointers[0], sizes[0], pointers[1], sizes[1])
    assert count == n * len(values)
    return made[:count].reshape(len(values), n)


@pytest.mark.parametrize("n", range(1, SIZE + 1))
def test_every_half_beside_its_neighbours(n):
    """Lines of eight that follow each other in FP16's order, or of fewer that come twice, shuffled,
    of both signs: the largest magnitudes leave, of equals those with the lower indices."""
    rng = np.random.default_rng(n)
    first, places = np.arange(INFINITE + 1)[:, None], np.arange(SIZE)
    some = rng.integers(0, SIZE, (len(first), SIZE))
    each = rng.permuted(np.tile(places, (len(first), 1)), axis=1)
    halves = np.minimum(np.concatenate([first + some, first + each]), INFINITE)
    signs = rng.integers(2, size=halves.shape) << 15
    values = (halves | signs).astype(np.uint16).view(np.float16).astype(np.float32)
    found = kept(n, values)
    order = np.sort(np.argsort(-halves, axis=1, kind="stable")[:, :n], axis=1)
    assert np.array_equal(found >> np.uint64(INDEX) & np.uint64(7), order)
    wanted = np.take_along_axis(values.view(np.uint32), order, axis=1)
    assert np.array_equal(found & np.uint64(0xFFFFFFFF), wanted)
    assert np.array_equal(found >> np.uint64(LAST), np.tile(np.arange(n) == n - 1, (len(order), 1)))
