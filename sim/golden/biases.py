"""A bias in binary32 as the integer that is added to a sum."""

from .epilogue import round_shift

FRACTION = 23
BIAS = 127


def fixed_point(raw: int, unit_log2: int, width: int) -> tuple[int, bool]:
    """The binary32 with the bits `raw` in units of ``2**unit_log2``, to nearest even, and whether
    it is lost: not finite, or from ``2**(width - 1)`` on, and 0 for that."""
    sign, exponent = raw >> 31, raw >> FRACTION & 0xFF
    significand = raw & (1 << FRACTION) - 1 | (exponent > 0) << FRACTION
    place = max(exponent, 1) - BIAS - FRACTION - unit_log2
    if exponent == 0xFF or significand and place + FRACTION + 1 > width - 1:
        return 0, True
    magnitude = round_shift(significand, place)
    return -magnitude if sign else magnitude, False
