"""N:M and packing: round trips, and every kind of bad input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heddle.hw.formats import FORMATS, FP16
from heddle.sim.golden import numbers
from heddle.sw.compiler import nm, packing
from heddle.sw.compiler.elements import to_raw
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


@pytest.mark.parametrize("m", [1, 3, 8, 16, 17, 40])
def test_masks_are_those_of_a_stable_sort(m):
    """Of few values, so that many are equal; of a group's elements any number, in both ways."""
    rng = np.random.default_rng(m)
    for kind in ("f4", "f2", "i8"):
        dense = rng.integers(-3, 4, (2 * m + 1, 5)).astype(kind)
        for n in (0, 1, m // 2, m):
            for axis, lines in ((0, dense.T), (1, dense)):
                wanted = np.zeros(lines.shape, bool)
                for line, of in zip(lines, wanted, strict=True):
                    for first in range(0, len(line), m):
                        group = line[first : first + m].tolist()
                        best = sorted(range(len(group)), key=lambda i: -abs(group[i]))[:n]
                        of[[first + i for i in best]] = True
                mask = nm.mask(dense, n, m, axis)
                assert np.array_equal(mask.T if axis == 0 else mask, wanted)


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


@pytest.mark.parametrize("pattern", [None, (2, 8), (1, 4), (8, 8)])
@pytest.mark.parametrize("rows", [8, 29, 64])
def test_groups_are_rows_of_the_matrix(rows, pattern):
    rng = np.random.default_rng(rows)
    dense = np.rint(rng.standard_normal((rows, 5)) * 20)
    dense = nm.prune(dense, *pattern) if pattern else dense * (rng.random(dense.shape) < 0.3)
    packed = packing.pack(dense, "fp16", *(pattern or (None, 8)), scale=np.arange(1.0, 6))
    whole = packing.to_dense(packed)
    last = -(-rows // 8)
    for start in range(last):
        for stop in range(start + 1, last + 1):
            part = packed.groups(start, stop)
            assert part.shape == (min(8 * stop, rows) - 8 * start, 5)
            assert np.array_equal(packing.to_dense(part), whole[8 * start : 8 * stop])
            assert part.counts.sum() == len(part.values) == len(part.indices)
            assert part.pattern == packed.pattern
    assert packed.groups(0, last) == packed


def test_places_are_where_the_elements_are():
    dense = np.rint(np.random.default_rng(1).standard_normal((21, 4)))
    packed = packing.pack(dense)
    rows, columns = packed.places()
    found = np.zeros_like(dense)
    found[rows, columns] = numbers.to_float(FP16, packed.values)
    assert np.array_equal(found, dense)


@pytest.mark.parametrize("whole", [int, np.int64, np.uint8, np.array])
def test_n_and_m_of_any_integer_type(whole):
    dense = np.arange(1.0, 17).reshape(16, 1)
    n, m = whole(2), whole(8)
    sparse = nm.prune(dense, n, m, axis=whole(0))
    nm.check(sparse, n, m)
    packed = packing.pack(sparse, "fp16", n, m, group=whole(8))
    assert packed.pattern == (2, 8) and all(type(v) is int for v in (*packed.pattern, packed.group))


@pytest.mark.parametrize("wrong", [2.0, "2", None, True, -1])
def test_n_and_m_that_are_none(wrong):
    for use in (nm.prune, nm.check, nm.mask, lambda d, n, m: packing.pack(d, "fp16", n or 2.5, m)):
        with pytest.raises(FormatError, match="whole number|N:M"):
            use(np.zeros((8, 1)), wrong, 8)


def test_packed_weights_are_equal_by_content():
    dense = nm.prune(np.random.default_rng(1).standard_normal((16, 3)), 2, 8)
    packed, again = (packing.pack(dense, "fp16", 2, 8) for _ in range(2))
    assert packed == again and hash(packed) == hash(again) and len({packed, again}) == 1
    other = dense.copy()
    other[np.nonzero(other)[0][0], np.nonzero(other)[1][0]] *= 2
    for different in (
        packing.pack(other, "fp16", 2, 8),
        packing.pack(dense, "fp16"),
        packing.pack(dense, "bf16", 2, 8),
        packing.pack(dense, "fp16", 2, 8, scale=1.0),
        packing.pack(dense[:-1], "fp16", 2, 8),
        "packed",
    ):
        assert packed != different
    with pytest.raises(ValueError, match="read-only"):
        packed.values[0] = 0


def test_what_is_shown_of_packed_weights():
    dense = nm.prune(np.ones((64, 32)), 2, 8)
    assert repr(packing.pack(dense, "fp16", 2, 8)) == (
        "<PackedWeights 64 x 32 fp16, 2:8: 512 kept (25.0%), 1,536 bytes>"
    )
    assert "any zeros, scaled by column: 512 kept" in repr(packing.pack(dense, "int8", scale=1.0))


def test_a_group_longer_than_the_axis_is_the_axis():
    """Of any length: nothing as long as that is made."""
    w = np.array([[3.0], [-5.0], [1.0]])
    assert nm.prune(w, 1, 4_000_000_000).tolist() == [[0], [-5], [0]]
    nm.check(nm.prune(w, 1, 4_000_000_000), 1, 4_000_000_000)
    with pytest.raises(FormatError, match="3 kept"):
        nm.check(w, 2, 1 << 40)


@pytest.mark.parametrize("kept", range(8))
def test_fewer_weights_than_a_group_may_keep(kept):
    """All of a matrix, and the parts of it that a long K is cut into."""
    dense = np.zeros((16, 1))
    dense[8 : 8 + kept] = 1
    packed = packing.pack(dense, "fp16", 7, 8)
    assert np.array_equal(packing.to_dense(packed), dense)
    assert len(packed.groups(0, 1).values) == 0 and len(packed.groups(1, 2).values) == kept
