"""What an element's bits mean, read from the standards and not from the hardware.

Sources: IEEE 754-2019 (binary16, through NumPy's own float16); OCP 8-bit Floating Point
Specification 1.0 (E4M3: no infinities, S.1111.111 is NaN; E5M2: as IEEE). Every other float is
read in the same way: sign, exponent with IEEE's bias, fraction.
"""

from functools import cache

import numpy as np

from ...hw.formats import FP16, Format, Specials


def raw_dtype(format: Format) -> type:
    """The NumPy type of raw elements: uint8 or uint16."""
    return np.uint16 if format.bits > 8 else np.uint8


@cache
def _table(format: Format) -> np.ndarray:
    """Values of all codes that fit into an element of a float, float64; what is none is NaN."""
    codes = np.arange(1 << format.code_bits)
    fraction_bits, exponent_bits = format.fraction_bits, format.exponent_bits
    fraction = codes & ((1 << fraction_bits) - 1)
    exponent = codes >> fraction_bits & ((1 << exponent_bits) - 1)
    bias = 2 ** (exponent_bits - 1) - 1
    magnitude = np.where(
        exponent == 0,
        np.ldexp(fraction.astype(float), 1 - bias - fraction_bits),
        np.ldexp(1 + fraction / 2**fraction_bits, exponent - bias),
    )
    top = exponent == (1 << exponent_bits) - 1
    if format.specials is Specials.IEEE:
        magnitude = np.where(top, np.where(fraction == 0, np.inf, np.nan), magnitude)
    elif format.specials is Specials.FN:
        all_ones = fraction == (1 << fraction_bits) - 1
        magnitude = np.where(top & all_ones, np.nan, magnitude)
    if format.window:
        low, high = format.window
        taken = (magnitude == 0) | (exponent >= low) & (exponent <= high)
        magnitude = np.where(taken | np.isinf(magnitude), magnitude, np.nan)
    values = np.full(1 << format.bits, np.nan)
    values[: len(codes)] = np.where(codes >> format.code_bits - 1, -magnitude, magnitude)
    return values


def to_float(format: Format, raw: np.ndarray) -> np.ndarray:
    """Raw elements as float64 (exact), any shape; a code that is no element's is NaN."""
    raw = np.asarray(raw, raw_dtype(format))
    if not format.is_float:
        sign = 1 << format.code_bits - 1
        value = (raw.astype(np.int64) ^ sign) - sign
        return np.where(raw >> format.code_bits, np.nan, value.astype(np.float64))
    if format == FP16:
        return raw.view(np.float16).astype(np.float64)
    return _table(format)[raw]


def is_finite(format: Format, raw: np.ndarray) -> np.ndarray:
    """Where raw elements are numbers that the array takes."""
    return np.isfinite(to_float(format, raw))


def significands(format: Format, raw: np.ndarray) -> np.ndarray:
    """Finite raw elements as int64 multiples of ``2**format.unit_log2`` (exact)."""
    return whole(format, raw, format.unit_log2).astype(np.int64)


def whole(format: Format, raw: np.ndarray, unit_log2: int) -> np.ndarray:
    """Finite raw elements as float64 multiples of ``2**unit_log2`` (exact).

    Raises `ValueError` for an infinity or NaN.
    """
    scaled = to_float(format, raw) * 2.0**-unit_log2
    if not np.isfinite(scaled).all():
        raise ValueError("an infinity or NaN has no significand")
    return scaled


def from_float(format: Format, values: np.ndarray, saturate: bool = False) -> np.ndarray:
    """Round to the nearest element, ties to even. Beyond the largest one: infinity (E4M3: NaN), or
    the largest finite element if `saturate`; a format whose every code is a number always
    saturates. NaN stays NaN (an error if the format has none)."""
    values = np.asarray(values, np.float64)
    if format.saturates and np.isnan(values).any():
        raise ValueError(f"{format.name} has no NaN")
    if not format.is_float:
        limit = 1 << format.code_bits - 1
        integers = np.clip(np.rint(values), -limit, limit - 1).astype(np.int64)
        return (integers & (2 * limit - 1)).astype(raw_dtype(format))
    if saturate or format.saturates:
        largest = largest_value(format)
        values = np.clip(values, -largest, largest)
    if format == FP16:
        with np.errstate(over="ignore"):
            return values.astype(np.float16).view(np.uint16)
    return _round_to_table(format, values)


def largest_value(format: Format) -> float:
    """The largest finite element."""
    if not format.is_float:
        return float((1 << format.code_bits - 1) - 1)
    return float(_finite(format)[1][-1])


def _finite(format: Format) -> tuple[np.ndarray, np.ndarray]:
    """The codes of a float's finite elements without sign, and their values, both in order."""
    values = _table(format)[: 1 << format.code_bits - 1]
    codes = np.flatnonzero(np.isfinite(values))
    return codes, values[codes]


def _round_to_table(format: Format, values: np.ndarray) -> np.ndarray:
    """The nearest element (codes of one sign are in order of value)."""
    codes, finite = _finite(format)
    magnitude = np.abs(values)
    upper = np.clip(np.searchsorted(finite, magnitude), 1, len(finite) - 1)
    lower = upper - 1
    middle = (finite[lower] + finite[upper]) / 2
    # A tie takes the even code. Below a window both are even, and it takes zero.
    up = (magnitude > middle) | ((magnitude == middle) & (codes[lower] % 2 == 1))
    code = codes[np.where(up, upper, lower)]
    # Half a step beyond the largest, and a tie if the largest is odd, rounds out of range.
    step = finite[-1] - finite[-2]
    beyond = finite[-1] + step / 2
    over = (magnitude > beyond) | ((magnitude == beyond) & (codes[-1] % 2 == 1))
    if not format.saturates:
        nan = (1 << format.code_bits - 1) - 1
        infinity = nan >> format.fraction_bits << format.fraction_bits
        code = np.where(over, infinity if format.specials is Specials.IEEE else nan, code)
        code = np.where(np.isnan(values), nan, code)
    sign = np.where(np.signbit(values), 1 << format.code_bits - 1, 0)
    return (code + sign).astype(raw_dtype(format))
