"""N:M and packing: round trips, and every kind of bad input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heddle.hw.formats import FORMATS, FP16
from heddle.sim.golden import numbers
from heddle.sw import nm, packing
from heddle.sw.elements import to_raw
from heddle.sw.errors import FormatError


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 9),
    st.sampled_from([(0, 8), (1, 8), (2, 8), (2, 4), (1, 2), (4, 8), (8, 8), None]),
    st.sampled_from(list(FORMATS.values())),
    st.integers(0, 2**32 - 1),
)
def test_what_is_packed_comes_back(rows, columns, pattern, format, seed):
    rng = np.random.default_rng(seed)
    dense = np.rint(rng.standard_normal((rows, columns)) * 20)
    if not format.is_float:
        dense = np.clip(dense, -8, 7)
    n, m = pattern or (None, 8)
    if pattern:
        dense = nm.prune(dense, n, m)
    raw = to_raw(dense, format)
    packed = packing.pack(dense, format, n, m)
    expected = np.where(numbers.to_float(format, raw) == 0, 0, numbers.to_float(format, raw))
    assert np.array_equal(packing.to_dense(packed), expected)
    for columns_of_array, contexts in ((1, 1), (3, 2), (8, 1)):
        check_arranged(packed, columns_of_array, contexts)


def check_arranged(packed, columns, contexts):
    """Slots and records, read as the hardware reads them, give the matrix back."""
    rebuilt = np.zeros((packed.counts.shape[0] * 8, packed.shape[1]), packed.values.dtype)
    for number, block in enumerate(packed.blocks(columns, contexts)):
        group = slot = 0
        for record in block.records.tolist():
            group += record >> 4
            for _ in range(record & 15):
                for context in range(contexts):
                    for c in range(columns):
                        output = number * columns * contexts + context * columns + c
                        value = block.values[slot, c]
                        if value:
                            rebuilt[group * 8 + block.indices[slot, c], output] = value
                    slot += 1
            group += 1
        assert slot == len(block.values)
    assert np.array_equal(rebuilt[: packed.shape[0]], packed.unpack())


def test_prune_keeps_the_largest_and_of_equals_the_first():
    dense = np.array([[1.0, -1, 1, 1], [0, 5, -6, 4]]).T
    assert nm.prune(dense, 2, 4).T.tolist() == [[1, -1, 0, 0], [0, 5, -6, 0]]
    assert np.array_equal(nm.prune(dense.T, 2, 4, axis=1), nm.prune(dense, 2, 4).T)


def test_check_says_where():
    dense = np.zeros((20, 3))
    dense[8:12, 1] = 1
    nm.check(dense, 4, 8)
    with pytest.raises(nm.NotSparse, match=r"1 groups.*\[8, 1\]") as caught:
        nm.check(dense, 2, 8)
    assert caught.value.position == (8, 1) and caught.value.groups == 1


@pytest.mark.parametrize(
    ("array", "n", "m", "words"),
    [
        (np.zeros(4), 2, 8, "matrix"),
        (np.zeros((4, 4)), 9, 8, "N:M"),
        (np.zeros((4, 4)), 1, 3, "M dividing 8"),
        (np.zeros((4, 4)), 0, 0, "M dividing 8"),
        (np.ones((8, 1)), 2, 8, "not 2:8"),
        (np.full((8, 1), np.nan), 8, 8, "nan at"),
        (np.full((8, 1), 1e9), 8, 8, "not a finite fp16"),
        (np.zeros((4, 4), complex), 2, 8, "complex"),
    ],
)
def test_bad_matrices_are_refused(array, n, m, words):
    with pytest.raises(FormatError, match=words):
        packing.pack(array, FP16, n, m)


def test_packed_weights_are_compact():
    packed = packing.pack(nm.prune(np.ones((64, 64)), 2, 8), FP16, 2, 8)
    assert packed.nbytes == 64 * 64 // 4 * 2 + 64 * 64 // 8 + 64 * 8
