"""What each operation of the vector unit gives, on arrays of 32-bit words, by NumPy's float32.

NumPy's operations on float32 are IEEE 754's, rounded to nearest even, subnormals kept. Only NaNs
are made the canonical one here.
"""

from collections.abc import Callable

import numpy as np

from ...hw.isa.vector import CANONICAL_NAN, COMPARISONS, Op

INT_LIMIT = 1 << 23
BYTE_LIMIT = 1 << 7
SCALES = 1 << 9
HALF_NAN = 0x7E00

Words = np.ndarray
"""uint32."""


def result(op: Op, a: Words, b: Words, mask: np.ndarray) -> Words:
    """Of an operation between registers; `mask` is what SELECT goes by."""
    with np.errstate(all="ignore"):
        if op in COMPARISONS:
            return floats_to_words(holds(op, a, b).astype(np.float32))
        if op == Op.SELECT:
            return np.where(mask, a, b)
        return _RESULTS[op](a, b)


def holds(op: Op, a: Words, b: Words) -> np.ndarray:
    """Where a comparison holds."""
    x, y = a.view(np.float32), b.view(np.float32)
    with np.errstate(invalid="ignore"):
        return {
            Op.LESS: x < y,
            Op.LESS_EQUAL: x <= y,
            Op.EQUAL: x == y,
            Op.SAME: a == b,
        }[op]


def words_of(size: int, elements: np.ndarray) -> Words:
    """Elements of `size` bytes, unsigned, as they are: of one byte with their signs."""
    if size == 1:
        return elements.view(np.int8).astype(np.int32).view(np.uint32)
    return elements.astype(np.uint32)


def loaded(size: int, words: Words) -> Words:
    """Such words as numbers: what LOAD makes of them."""
    if size == 1:
        return floats_to_words(words.view(np.int32).astype(np.float32))
    return _from_half(words, words) if size == 2 else words


STORES = {1: Op.TO_BYTE, 2: Op.TO_HALF, 4: Op.COPY}
"""What STORE does with a register, by the bytes of the stream's elements."""
_LIMITS = {Op.TO_BYTE: BYTE_LIMIT, Op.TO_INT: INT_LIMIT}


def lost(op: Op, a: Words) -> tuple[bool, bool]:
    """What there is to tell of a result that is stored: whether a binary16 is no finite number, and
    whether an integer was clipped."""
    if op == Op.TO_HALF:
        return bool((_to_half(a, a) & 0x7C00 == 0x7C00).any()), False
    if op not in _LIMITS:
        return False, False
    x, limit = a.view(np.float32), _LIMITS[op]
    with np.errstate(invalid="ignore"):
        inside = (np.rint(x) >= -limit) & (np.rint(x) < limit)
    return False, not inside.all()


def floats_to_words(values: np.ndarray) -> Words:
    """float32 as words, every NaN the canonical one."""
    words = np.asarray(values, np.float32).view(np.uint32)
    return np.where(np.isnan(values), np.uint32(CANONICAL_NAN), words)


def _floats(operation: Callable) -> Callable[[Words, Words], Words]:
    def words(a, b):
        return floats_to_words(operation(a.view(np.float32), b.view(np.float32)))

    return words


def _least(a: Words, b: Words) -> Words:
    """IEEE 754-2019 `minimum`."""
    x, y = a.view(np.float32), b.view(np.float32)
    first = (x < y) | ((x == y) & np.signbit(x))
    return np.where(np.isnan(x) | np.isnan(y), np.uint32(CANONICAL_NAN), np.where(first, a, b))


def _most(a: Words, b: Words) -> Words:
    """IEEE 754-2019 `maximum`."""
    sign = np.uint32(1 << 31)
    least = _least(a ^ sign, b ^ sign)
    return np.where(least == CANONICAL_NAN, least, least ^ sign)


def _scale(a: Words, b: Words) -> Words:
    power = np.clip(b.view(np.int32), -SCALES, SCALES - 1)
    return floats_to_words(np.ldexp(a.view(np.float32), power))


def _exponent(a: Words, _: Words) -> Words:
    x = a.view(np.float32)
    found = np.frexp(x)[1].astype(np.int64) - 1
    found = np.where(x == 0, -(1 << 31), np.where(np.isfinite(x), found, (1 << 31) - 1))
    return found.astype(np.int32).view(np.uint32)


def _mantissa(a: Words, _: Words) -> Words:
    x = a.view(np.float32)
    fraction = 2 * np.frexp(x)[0].astype(np.float32)
    return floats_to_words(np.where(np.isfinite(x) & (x != 0), fraction, x))


def _from_int(a: Words, b: Words) -> Words:
    whole = a.view(np.int32).astype(np.int64) << 32 | b.astype(np.int64)
    return floats_to_words(np.ldexp(whole.astype(np.float32), -32))


def _to_integer(a: Words, limit: int) -> Words:
    with np.errstate(invalid="ignore"):
        x = np.nan_to_num(np.rint(a.view(np.float32)), nan=0.0, posinf=limit, neginf=-limit)
    return np.clip(x, -limit, limit - 1).astype(np.int32).view(np.uint32)


def _from_half(a: Words, _: Words) -> Words:
    halves = (a & 0xFFFF).astype(np.uint16)
    return floats_to_words(halves.view(np.float16).astype(np.float32))


def _to_half(a: Words, _: Words) -> Words:
    x = a.view(np.float32)
    with np.errstate(all="ignore"):
        halves = x.astype(np.float16).view(np.uint16).astype(np.uint32)
    return np.where(np.isnan(x), np.uint32(HALF_NAN), halves)


_RESULTS: dict[Op, Callable[[Words, Words], Words]] = {
    Op.ADD: _floats(np.add),
    Op.SUB: _floats(np.subtract),
    Op.MUL: _floats(np.multiply),
    Op.SCALE: _scale,
    Op.MIN: _least,
    Op.MAX: _most,
    Op.COPY: lambda a, b: b,
    Op.AND: np.bitwise_and,
    Op.OR: np.bitwise_or,
    Op.XOR: np.bitwise_xor,
    Op.EXPONENT: _exponent,
    Op.MANTISSA: _mantissa,
    Op.FROM_INT: _from_int,
    Op.TO_INT: lambda a, b: _to_integer(a, INT_LIMIT),
    Op.FROM_HALF: _from_half,
    Op.TO_HALF: _to_half,
    Op.TO_BYTE: lambda a, b: _to_integer(a, BYTE_LIMIT),
}
