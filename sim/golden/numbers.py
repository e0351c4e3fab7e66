"""What an element's bits mean, read from the standards and not from the hardware.

Sources: IEEE 754-2019 (binary16, through NumPy's own float16); OCP 8-bit Floating Point
Specification 1.0 (E4M3: no infinities, S.1111.111 is NaN; E5M2: as IEEE).
"""

import numpy as np

from ...hw.formats import Format, Specials


def raw_dtype(format: Format) -> type:
    """The NumPy type of raw elements: uint8 or uint16."""
    return np.uint16 if format.bits == 16 else np.uint8


def _table(format: Format) -> np.ndarray:
    """Values of all 256 codes of an 8-bit float, float64."""
    codes = np.arange(256)
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
    return np.where(codes & 128, -magnitude, magnitude)


def to_float(format: Format, raw: np.ndarray) -> np.ndarray:
    """Raw elements as float64 (exact), any shape."""
    raw = np.asarray(raw, raw_dtype(format))
    if not format.is_float:
        return raw.view(np.int8).astype(np.float64)
    if format.bits == 16:
        return raw.view(np.float16).astype(np.float64)
    return _table(format)[raw]


def is_finite(format: Format, raw: np.ndarray) -> np.ndarray:
    return np.isfinite(to_float(format, raw))


def significands(format: Format, raw: np.ndarray) -> np.ndarray:
    """Finite raw elements as int64 multiples of ``2**format.unit_log2`` (exact)."""
    scaled = np.ldexp(to_float(format, raw), -format.unit_log2)
    if not np.isfinite(scaled).all():
        raise ValueError("an infinity or NaN has no significand")
    return scaled.astype(np.int64)


def from_float(format: Format, values: np.ndarray, saturate: bool = False) -> np.ndarray:
    """Round to nearest even. Beyond the largest element: infinity (E4M3: NaN), or the largest
    finite element if `saturate`; integers always saturate. NaN stays NaN (an integer's is an
    error)."""
    values = np.asarray(values, np.float64)
    if not format.is_float:
        if np.isnan(values).any():
            raise ValueError("NaN cannot become an integer")
        return np.clip(np.rint(values), -128, 127).astype(np.int8).view(np.uint8)
    if saturate:
        largest = largest_value(format)
        values = np.clip(values, -largest, largest)
    if format.bits == 16:
        with np.errstate(over="ignore"):
            return values.astype(np.float16).view(np.uint16)
    return _round_to_table(format, values)


def largest_value(format: Format) -> float:
    """The largest finite element."""
    if format.bits == 16:
        return float(np.finfo(np.float16).max)
    return float(np.nanmax(np.where(np.isinf(_table(format)), np.nan, _table(format))))


def _round_to_table(format: Format, values: np.ndarray) -> np.ndarray:
    """Nearest 8-bit float; a tie takes the even code (codes of one sign are in order of value)."""
    positive = _table(format)[:128]
    finite = positive[np.isfinite(positive)]
    magnitude = np.abs(values)
    upper = np.clip(np.searchsorted(finite, magnitude), 1, len(finite) - 1)
    lower = upper - 1
    middle = (finite[lower] + finite[upper]) / 2
    up = (magnitude > middle) | ((magnitude == middle) & (lower % 2 == 1))
    code = np.where(up, upper, lower)
    # Half a step beyond the largest, and a tie if the largest is odd, rounds out of range.
    step = finite[-1] - finite[-2]
    beyond = finite[-1] + step / 2
    odd = (len(finite) - 1) % 2 == 1
    over = (magnitude > beyond) | ((magnitude == beyond) & odd)
    code = np.where(over, len(finite), code)  # the code after the largest: infinity or NaN
    code = np.where(np.isnan(values), 127, code)
    return (code + np.where(np.signbit(values), 128, 0)).astype(np.uint8)
