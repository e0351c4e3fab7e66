"""Dot products without rounding, and their float32 counterpart."""

from collections.abc import Callable

import numpy as np

from ...hw.formats import Format
from .numbers import significands, to_float

LIMB = 20
"""Bits of a limb: products of two limbs can be summed 2**22 times in an int64."""


def exact_matmul(format: Format, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """``x[B, K] @ w[K, C]`` of raw elements as exact integers [B, C] (Python ints, dtype object)
    in units of ``2**format.product_unit_log2``."""
    a, b = significands(format, x), significands(format, w)
    if format.bits <= 8 and not format.is_float:
        return (a @ b).astype(object)
    return _by_limbs(a, b, _matmul)


def exact_dots(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """``sum(a * b)`` along the last axis of significands, as exact integers (dtype object)."""
    return _by_limbs(a, b, lambda x, y: (x * y).sum(axis=-1))


def _by_limbs(a: np.ndarray, b: np.ndarray, product: Callable) -> np.ndarray:
    """`product` of significands, whose entries it adds in int64: a = a1 * 2**20 + a0 with
    0 <= a0 < 2**20, so four small products instead of one large."""
    a1, b1 = a >> LIMB, b >> LIMB
    a0, b0 = a - (a1 << LIMB), b - (b1 << LIMB)
    high, low = product(a1, b1).astype(object), product(a0, b0).astype(object)
    middle = (product(a1, b0) + product(a0, b1)).astype(object)
    return (high << 2 * LIMB) + (middle << LIMB) + low


def as_integers(format: Format, sums: np.ndarray) -> np.ndarray:
    """float32 sums of products as exact integers in units of ``2**format.product_unit_log2``."""
    scaled = np.ldexp(sums.astype(np.float64), -format.product_unit_log2)
    return np.vectorize(int, otypes=[object])(scaled)


def _matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Integer matmul with entries below 2**21: float64 (exact below 2**53) in blocks of K."""
    total = np.zeros((a.shape[0], b.shape[1]), np.int64)
    block = 1 << 11
    for k in range(0, a.shape[1], block):
        part = a[:, k : k + block].astype(float) @ b[k : k + block].astype(float)
        total += part.astype(np.int64)
    return total


def fp32_matmul(format: Format, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """``x[B, K] @ w[K, C]`` of raw elements added in binary32 in the order of K: float32 [B, C].

    The order in which the array adds the kept products; zeros in between change nothing. Only for
    a `format` whose products are binary32 numbers (`Format.fits_binary32`).
    """
    a, b = (to_float(format, raw).astype(np.float32) for raw in (x, w))
    total = np.zeros((a.shape[0], b.shape[1]), np.float32)
    for k in range(a.shape[1]):
        total += a[:, k, None] * b[k]
    return total
