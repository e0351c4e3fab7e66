"""Products as `dot.exact_matmul` and `epilogue.finish` make them, in every bit, as fast as float64.

A product of two elements is exact in float64, and a sum of K of them, in whatever order, is wrong
by at most ``K u / (1 - K u)`` times the sum of their magnitudes, u = 2**-53 (Higham, Accuracy and
Stability of Numerical Algorithms, 2002, section 3.1). Where all values within that bound are
rounded to the same output, it is the right one. Elsewhere the sum lies at a boundary of rounding,
or magnitudes cancel: there, and only there, integers decide.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...hw.formats import Format, OutputFormat
from . import numbers
from .dot import exact_dots
from .epilogue import Finished, finish

AT_ONCE = 1 << 20
"""Products of elements that are looked at together as integers."""
WHOLE = 2.0**52
"""Whole numbers whose magnitudes add up to no more are added without any error."""
SINGLE = 2.0**120
"""Below the largest number of single precision."""
HALF_MOST = np.array([-129.0, 128.0])
"""What saturates as INT8."""


@dataclass(frozen=True)
class Operand:
    """A product's elements, as it needs them: made once for what several products take."""

    whole: np.ndarray
    """float64, counted in the format's unit: whole numbers."""
    sizes: np.ndarray
    """Their magnitudes, float32, each rounded once; infinite if they are too large."""

    @classmethod
    def of(cls, format: Format, raw: np.ndarray) -> "Operand":
        """Of raw elements of any shape. Raises `ValueError` for those that are not finite."""
        whole = numbers.whole(format, raw, format.unit_log2)
        with np.errstate(over="ignore"):
            return cls(whole, np.abs(whole.astype(np.float32)))

    def seen(self, view: Callable[[np.ndarray], np.ndarray]) -> "Operand":
        """The same elements in another order or shape; zeros may be among them."""
        return Operand(view(self.whole), view(self.sizes))


def rounded_matmul(
    format: Format,
    x: np.ndarray | Operand,
    w: np.ndarray | Operand,
    bias,
    scale,
    exponent,
    relu: bool,
    output: OutputFormat,
    addend: np.ndarray | None = None,
    masked=False,
) -> Finished:
    """``round(relu?((x @ w + addend + bias) * scale * 2**exponent))`` of raw elements x [B, K] and
    w [K, C], or `Operand`s of them; +0 where `masked`, which broadcasts to [B, C].

    `bias`, `scale` and `exponent` are a column's integers (`settings.Settings`); `addend` [B, C] is
    of raw elements, in the sum's unit. Raises `ValueError` for elements that are not finite, and
    for RAW, which is not rounded.
    """
    if output is OutputFormat.RAW:
        raise ValueError("exact sums are not rounded: use exact_matmul")
    # Counted in units, elements and products are whole numbers; powers of two are exact.
    left, right = (v if isinstance(v, Operand) else Operand.of(format, v) for v in (x, w))
    a, b = left.whole, right.whole
    columns = [np.array(v, object) for v in (bias, scale, exponent)]
    offset, factor = (v.astype(np.float64) for v in columns[:2])
    sums, most = a @ b + offset, _magnitudes(left, right) + np.abs(offset)
    added = None
    if addend is not None:
        added = numbers.whole(format, addend, format.product_unit_log2)
        sums, most = sums + added, most + np.abs(added)
    # Of the sum, and of two more operations on it.
    error = np.where(most < WHOLE, 0, (a.shape[1] + 5) * 2.0**-52 * most)
    if (factor != 1).any():
        sums = sums * factor
        error = np.where((error == 0) & (np.abs(sums) < WHOLE), 0, error * factor)
        error[error != 0] += np.abs(sums)[error != 0] * 2.0**-51
    if masked is not False:
        sums, error = (np.where(masked, 0.0, values) for values in (sums, error))
    sums += 0.0  # what is exactly zero has no sign
    powers = np.ldexp(1.0, columns[2].astype(np.int64))
    low = _codes(sums - error, powers, relu, output)
    high = _codes(sums + error, powers, relu, output) if error.any() else low
    rows, of = np.nonzero(low != high)
    saturated = False
    if len(rows):
        totals = _exact(a, b, added, rows, of)
        decided = finish(totals, *(column[of] for column in columns), relu, output)
        raw = decided.raw
        low[rows, of] = raw.view(np.int8) if output is OutputFormat.INT8 else raw
        saturated = decided.saturated
    return _finished(low, saturated, output)


def _magnitudes(a: Operand, b: Operand) -> np.ndarray:
    """No less than ``|a| @ |b|``; 0 where that is."""
    c, d = a.sizes, b.sizes
    terms, size = c.shape[1], min(c.size, d.size)
    if size and float(c.max()) * float(d.max()) * terms < SINGLE:
        # In single precision, whose roundings are made good.
        return c @ d * np.float32(1 + (terms + 4) * 2.0**-22)
    return np.abs(a.whole) @ np.abs(b.whole)


def _codes(sums: np.ndarray, powers: np.ndarray, relu: bool, output: OutputFormat) -> np.ndarray:
    """``sums * powers`` rounded to an output's bits; as INT8 to a whole number, of which those
    beyond the range are -129 and 128."""
    values = sums * powers
    if relu:
        values = np.maximum(values, 0.0) + 0.0
    if output is OutputFormat.INT8:
        return np.clip(np.rint(values), *HALF_MOST).astype(np.int16)
    with np.errstate(over="ignore"):
        return values.astype(f"f{output.bytes}").view(f"u{output.bytes}")


def _finished(codes: np.ndarray, saturated: bool, output: OutputFormat) -> Finished:
    if output is OutputFormat.INT8:
        clipped = np.clip(codes, -128, 127)
        saturated |= bool((clipped != codes).any())
        return Finished(clipped.astype(np.int8).view(np.uint8), False, saturated)
    return Finished(codes, bool(np.isinf(codes.view(f"f{output.bytes}")).any()), False)


def _exact(
    a: np.ndarray, b: np.ndarray, added: np.ndarray | None, rows: np.ndarray, of: np.ndarray
) -> np.ndarray:
    """Exact sums at places (row, column), Python's integers."""
    totals = np.zeros(len(rows), object)
    step = max(1, AT_ONCE // a.shape[1])
    for at in range(0, len(rows), step):
        part = slice(at, at + step)
        totals[part] = exact_dots(a[rows[part]].astype(np.int64), b[:, of[part]].T.astype(np.int64))
    if added is not None:
        totals += np.array([int(value) for value in added[rows, of]], object)
    return totals
