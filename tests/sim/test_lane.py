"""A lane of the vector unit, alone and compiled: on operands as TestFloat chooses them, beside
exact integers; on very many random ones, beside NumPy."""

import ctypes
from functools import cache

import numpy as np
import pytest

from heddle.hw.isa.vector import CANONICAL_NAN, Op
from heddle.hw.vector.lane import Lane
from heddle.sim.golden import vector_ops
from heddle.sim.testbenches.vector_lane import OPERATIONS, flagged, operands, small_integers

from .compiled import compiled

EXPONENTS = (0, 1, 2, 24, 103, 125, 126, 127, 128, 129, 149, 150, 151, 253, 254, 255)
FRACTIONS = (0, 1, 2, 0x1000, 0x3FFFFF, 0x400000, 0x400001, 0x7FFFFE, 0x7FFFFF)
"""Of what an operand is made, with both signs; each is tried with each, as TestFloat does."""
BLOCK = 1 << 20
MOST = Op.ADD, Op.SUB, Op.MUL
"""Operations that round a sum or a product: three quarters of the random operands are theirs."""


@cache
def library() -> ctypes.CDLL:
    return compiled(Lane(), "lane.cpp")


def done(op: Op, a: np.ndarray, b: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Results and flags (1: no finite binary16, 2: clipped) of an operation on words."""
    data, flags = np.empty(len(a), np.uint32), np.empty(len(a), np.uint8)
    pointers = [v.ctypes.data_as(ctypes.c_void_p) for v in (a, b, mask, data, flags)]
    count, latency = ctypes.c_uint64(len(a)), ctypes.c_uint64(Lane.latency)
    library().lane_run(ctypes.c_uint8(op), *pointers, count, latency)
    return data, flags


def value(word: int) -> tuple[int, int] | None:
    """An integer and the exponent of its unit; None of what is not finite."""
    exponent, fraction = word >> 23 & 0xFF, word & 0x7FFFFF
    if exponent == 0xFF:
        return None
    significand = fraction | (exponent > 0) << 23
    return (-significand if word >> 31 else significand), max(exponent, 1) - 150


def rounded(number: int, unit: int, negative: bool) -> int:
    """``number * 2**unit`` as binary32, to the nearest, ties to even; a zero has the sign given."""
    sign = (number < 0 if number else negative) << 31
    size = abs(number)
    up = max(size.bit_length() - 24, -149 - unit)
    if up <= 0:
        size, unit = size << -up, unit + up
    else:
        kept, rest, half = size >> up, size & (1 << up) - 1, 1 << up - 1
        size, unit = kept + (rest > half or (rest == half and kept & 1)), unit + up
        if size == 1 << 24:
            size, unit = size >> 1, unit + 1
    exponent = unit + 150 if size >> 23 else 0
    return sign | (0xFF << 23 if exponent >= 0xFF else exponent << 23 | size & 0x7FFFFF)


def by_integers(op: Op, a: int, b: int) -> int:
    """The standard's sum, difference or product; any NaN is the canonical one."""
    if op == Op.SUB:
        b ^= 1 << 31
    nans = [word & 0x7FFFFFFF > 0x7F800000 for word in (a, b)]
    x, y = value(a), value(b)
    sign = a >> 31, b >> 31
    if op == Op.MUL:
        negative = sign[0] != sign[1]
        if any(nans) or (x is None and y and not y[0]) or (y is None and x and not x[0]):
            return CANONICAL_NAN
        if x is None or y is None:
            return negative << 31 | 0x7F800000
        return rounded(x[0] * y[0], x[1] + y[1], negative)
    if any(nans) or (x is None and y is None and sign[0] != sign[1]):
        return CANONICAL_NAN
    if x is None or y is None:
        return a if x is None else b
    unit = min(x[1], y[1])
    total = (x[0] << x[1] - unit) + (y[0] << y[1] - unit)
    return rounded(total, unit, sign == (1, 1))


@pytest.mark.parametrize("op", MOST)
def test_operands_as_testfloat_chooses_them(op):
    exponents, fractions = np.meshgrid(EXPONENTS, FRACTIONS)
    words = (exponents << 23 | fractions).ravel()
    words = np.concatenate([words, words | 1 << 31]).astype(np.uint32)
    a, b = (each.ravel() for each in np.meshgrid(words, words))
    got, flags = done(op, a, b, np.zeros(len(a), np.uint8))
    wanted = [by_integers(op, x, y) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    assert len(wanted) == 288**2 and not flags.any()
    assert np.array_equal(got, np.array(wanted, np.uint32))


def test_by_integers_is_the_standard():
    """Literals: what the integers make, and what they would not if they rounded another way."""
    one, half_ulp, tiny = 0x3F800000, 0x33800000, 1
    assert by_integers(Op.ADD, one, half_ulp) == one  # a tie, to even
    assert by_integers(Op.ADD, one + 1, half_ulp) == one + 2
    assert by_integers(Op.SUB, one, one) == 0 and by_integers(Op.ADD, 1 << 31, 1 << 31) == 1 << 31
    assert by_integers(Op.MUL, tiny, 0x3F000000) == 0  # half of the smallest, a tie
    assert by_integers(Op.MUL, 3, 0x3F000000) == 2
    assert by_integers(Op.MUL, 0x7F7FFFFF, 0x40000000) == 0x7F800000
    assert by_integers(Op.ADD, 0x7F7FFFFF, 0x73000000) == 0x7F800000  # half of its last place
    assert by_integers(Op.ADD, 0x7F7FFFFF, 0x72FFFFFF) == 0x7F7FFFFF
    assert by_integers(Op.ADD, 0x7F800000, 0xFF800000) == CANONICAL_NAN


@pytest.mark.parametrize(
    "count", [4 * BLOCK, pytest.param(100 * BLOCK, marks=pytest.mark.slow)], ids=["4Mi", "100Mi"]
)
def test_random_operands_beside_numpy(count):
    rng = np.random.default_rng(count)
    others = [op for op in OPERATIONS if op not in MOST]
    for block in range(count // BLOCK):
        a, b = operands(rng, BLOCK)
        mask = rng.integers(2, size=BLOCK, dtype=np.uint8)
        ops = others if block % 4 == 3 else MOST
        each = BLOCK // len(ops)
        for number, op in enumerate(ops):
            x, y, chosen = (v[number * each :][:each].copy() for v in (a, b, mask))
            if op in (Op.SCALE, Op.FROM_INT):
                y = small_integers(rng, each)
            got, flags = done(op, x, y, chosen)
            assert np.array_equal(got, vector_ops.result(op, x, y, chosen.astype(bool))), op.name
            assert np.array_equal(flags, flagged(op, x)), op.name


def test_every_half():
    """As numbers and back: each is itself, a NaN the canonical one."""
    halves = np.arange(1 << 16, dtype=np.uint32)
    nothing = np.zeros(len(halves), np.uint32)
    numbers, _ = done(Op.FROM_HALF, halves, nothing, nothing.astype(np.uint8))
    expected = halves.astype(np.uint16).view(np.float16).astype(np.float32)
    nan = np.isnan(expected)
    assert np.array_equal(numbers[~nan], expected[~nan].view(np.uint32))
    assert (numbers[nan] == CANONICAL_NAN).all()
    back, flags = done(Op.TO_HALF, numbers, nothing, nothing.astype(np.uint8))
    assert np.array_equal(back[~nan], halves[~nan]) and (back[nan] == 0x7E00).all()
    assert np.array_equal(flags == 1, ~np.isfinite(expected))
