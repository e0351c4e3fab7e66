"""How each kind of accumulation adds products, in one table: for the model device, and for
whatever predicts a product."""

from dataclasses import dataclass

import numpy as np

from ...hw.config import Accumulation
from ...hw.formats import Format
from . import dot, numbers


@dataclass(frozen=True)
class Arithmetic:
    """Sums of `dtype`, to which products of elements are added one after another."""

    dtype: type

    def elements(self, format: Format, raw: np.ndarray) -> np.ndarray:
        """Finite raw elements as what is multiplied: a product of two of them is exact."""
        raise NotImplementedError

    def matmul(self, format: Format, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        """Sums of ``x[B, K] @ w[K, C]`` of raw elements, added in the order of K."""
        raise NotImplementedError

    def integers(self, format: Format, sums: np.ndarray) -> np.ndarray:
        """Sums as exact integers in units of ``2**format.product_unit_log2``."""
        raise NotImplementedError

    def drained(self, integers: np.ndarray, width: int) -> np.ndarray:
        """Sums of any size, as integers, as the epilogue gets them in `width` bits."""
        raise NotImplementedError

    def bits(self, total, width: int) -> int:
        """A sum as the `width` bits that a processing element drains."""
        raise NotImplementedError


class Exact(Arithmetic):
    """Python's integers."""

    def elements(self, format, raw):
        return numbers.significands(format, raw).astype(object)

    def matmul(self, format, x, w):
        return dot.exact_matmul(format, x, w)

    def integers(self, format, sums):
        return sums

    def drained(self, integers, width):
        """Two's complement: what leaves the range wraps around."""
        half = 1 << (width - 1)
        return (integers + half) % (2 * half) - half

    def bits(self, total, width):
        return int(total) & ((1 << width) - 1)


class Binary32(Arithmetic):
    """IEEE binary32, rounded to nearest even after every addition."""

    def elements(self, format, raw):
        return numbers.to_float(format, raw).astype(np.float32)

    def matmul(self, format, x, w):
        return dot.fp32_matmul(format, x, w)

    def integers(self, format, sums):
        return dot.as_integers(format, sums)

    def drained(self, integers, width):
        """The sign stays, and of the magnitude the low bits."""
        magnitude = np.abs(integers) % (1 << (width - 1))
        return np.where(integers < 0, -magnitude, magnitude)

    def bits(self, total, width):
        return int(np.float32(total).view(np.uint32))


ARITHMETIC: dict[Accumulation, Arithmetic] = {
    Accumulation.EXACT: Exact(object),
    Accumulation.FP32: Binary32(np.float32),
}
