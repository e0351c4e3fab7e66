"""Products as `dot.exact_matmul` and `epilogue.finish` make them, in every bit, as fast as float64.

A product of two elements is exact in float64, and a sum of K of them, in whatever order, is wrong
by at most ``K u / (1 - K u)`` times the sum of their magnitudes, u = 2**-53 (Higham, Accuracy and
Stability of Numerical Algorithms, 2002, section 3.1). Where all values within that bound are
rounded to the same output, it is the right one. Elsewhere the sum lies at a boundary of rounding,
or magnitudes cancel: there, and only there, integers decide.
"""

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


def rounded_matmul(
    format: Format,
    x: np.ndarray,
    w: np.ndarray,
    bias,
    scale,
    exponent,
    relu: bool,
    output: OutputFormat,
    addend: np.ndarray | None = None,
    masked=False,
) -> Finished:
    """``round(relu?((x @ w + addend + bias) * scale * 2**exponent))`` of raw elements x [B, K] and
    w [K, C]; +0 where `masked`, which broadcasts to [B, C].

    `bias`, `scale` and `exponent` are a column's integers (`settings.Settings`); `addend` [B, C] is
    of raw elements, in the sum's unit. Raises `ValueError` for elements that are not finite, and
    for RAW, which is not rounded.
    """
    if output is OutputFormat.RAW:
        raise ValueError("exact sums are not rounded: use exact_matmul")
    # Counted in units, elements and products are whole numbers; powers of two are exact.
    a, b = (numbers.whole(format, raw, format.unit_log2) for raw in (x, w))
    columns = [np.array(v, object) for v in (bias, scale, exponent)]
    offset, factor = (v.astype(np.float64) for v in columns[:2])
    sums, most = a @ b + offset, _magnitudes(a, b) + np.abs(offset)
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


def _magnitudes(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """No less than ``|a| @ |b|``, of whole numbers; 0 where that is."""
    terms, size = a.shape[1], min(a.size, b.size)
    with np.errstate(over="ignore"):
        c, d = (np.abs(values.astype(np.float32)) for values in (a, b))
    if size and float(c.max()) * float(d.max()) * terms < SINGLE:
        # In single precision, whose roundings are made good.
        return c @ d * np.float32(1 + (terms + 4) * 2.0**-22)
    return np.abs(a) @ np.abs(b)


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
