"""From an exact sum to an output: bias, scale, ReLU, and the only rounding there is."""

from dataclasses import dataclass

import numpy as np

from ...hw.formats import OutputFormat


@dataclass(frozen=True)
class Finished:
    """Outputs as raw bits (uint32, uint16 or uint8), and what happened on the way."""

    raw: np.ndarray
    overflow: bool
    saturated: bool


def finish(sums, bias, scale, exponent, relu: bool, output: OutputFormat, masked=False) -> Finished:
    """``round(relu?((sums + bias) * scale * 2**exponent))``, once, to nearest even; +0 where
    `masked`.

    `sums` is any array of integers; `bias` (in the sums' unit), `scale` (0…65535), `exponent` and
    `masked` broadcast against it. FP32 and FP16 overflow to infinity; INT8 saturates.
    """
    sums = np.asarray(sums, object)
    product = (sums + np.asarray(bias, object)) * np.asarray(scale, object)
    product = np.where(masked, 0, product)
    exponents = np.broadcast_to(np.asarray(exponent, object), product.shape)
    raw = np.empty(product.shape, f"u{output.bytes}")
    overflow = saturated = False
    for place, integer in np.ndenumerate(product):
        if relu and integer < 0:
            integer = 0
        if output is OutputFormat.INT8:
            value = round_shift(abs(integer), int(exponents[place]))
            value = -value if integer < 0 else value
            clipped = max(-128, min(127, value))
            saturated |= clipped != value
            raw[place] = clipped & 0xFF
        else:
            raw[place], over = encode_float(integer, int(exponents[place]), output)
            overflow |= over
    return Finished(raw, bool(overflow), bool(saturated))


def round_shift(magnitude: int, exponent: int) -> int:
    """``magnitude * 2**exponent`` to the nearest integer, ties to even."""
    if magnitude == 0:
        return 0
    if exponent >= 0:
        # No output is as wide as 2**256: whatever is larger rounds the same way.
        return magnitude << min(exponent, 256)
    shift = -exponent
    if shift > magnitude.bit_length() + 1:
        return 0
    quotient, rest = magnitude >> shift, magnitude & ((1 << shift) - 1)
    half = 1 << (shift - 1)
    return quotient + (rest > half or (rest == half and quotient & 1))


def encode_float(integer: int, exponent: int, output: OutputFormat) -> tuple[int, bool]:
    """The binary32 or binary16 nearest to ``integer * 2**exponent``, and whether it overflowed."""
    exponent_bits, fraction_bits = (8, 23) if output is OutputFormat.FP32 else (5, 10)
    bias = (1 << (exponent_bits - 1)) - 1
    sign = int(integer < 0) << (exponent_bits + fraction_bits)
    magnitude = abs(integer)
    if magnitude == 0:
        return 0, False
    # The exponent of the last place: a normal number's, or the smallest there is.
    place = max(magnitude.bit_length() - 1 + exponent, 1 - bias) - fraction_bits
    significand = round_shift(magnitude, exponent - place)
    # A carry out of the fraction runs into the exponent, as it should.
    code = significand + ((place + fraction_bits + bias - 1) << fraction_bits)
    infinity = ((1 << exponent_bits) - 1) << fraction_bits
    return sign | min(code, infinity), code >= infinity
