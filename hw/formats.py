"""Number formats of operands: what the array multiplies, described once for hardware and host.

A format says how an element's bits become an integer. Every finite element equals
``significand * 2**exponent * 2**unit_log2`` with a signed integer significand and an exponent
from 0, so a product of two elements is an integer multiple of ``2**(2 * unit_log2)`` and a sum of
products is an integer: nothing is rounded before the result leaves the array.

The array works with *operands*: the significand already shifted left by the exponent's low
`STEP_LOG2` bits (`value`), and the rest of the exponent (`step`). Decoding once, when an element
enters a buffer, keeps the two small shifters out of every processing element.

Sources: IEEE 754-2019 (binary16); OCP 8-bit Floating Point Specification 1.0 (E4M3, E5M2).
"""

from dataclasses import dataclass
from enum import Enum

STEP_LOG2 = 2
"""log2 of the shift (in bits) that the low part of an exponent makes: steps are 2**2 = 4 bits."""


class Specials(Enum):
    """Which codes are not finite numbers."""

    NONE = "none"
    """Every code is a number."""
    IEEE = "ieee"
    """The largest exponent holds infinities and NaNs."""
    FN = "fn"
    """Only exponent and fraction all ones is NaN; there are no infinities (OCP E4M3)."""


@dataclass(frozen=True)
class Format:
    """A signed integer (``exponent_bits == 0``) or a binary floating-point format.

    An integer is two's complement of ``1 + fraction_bits`` bits. A float is sign, exponent,
    fraction from the top, with subnormals.
    """

    name: str
    exponent_bits: int
    fraction_bits: int
    specials: Specials = Specials.NONE

    @property
    def is_float(self) -> bool:
        return self.exponent_bits > 0

    @property
    def bits(self) -> int:
        """Width of an element in bits: 8 or 16."""
        return 1 + self.exponent_bits + self.fraction_bits

    @property
    def bytes(self) -> int:
        return self.bits // 8

    @property
    def bias(self) -> int:
        return (1 << (self.exponent_bits - 1)) - 1 if self.is_float else 0

    @property
    def unit_log2(self) -> int:
        """log2 of the weight of a significand's last place at the smallest exponent."""
        return 1 - self.bias - self.fraction_bits if self.is_float else 0

    @property
    def max_exponent(self) -> int:
        """Largest shift of a finite significand: exponent field - 1 (a subnormal's is 0)."""
        if not self.is_float:
            return 0
        largest_field = (1 << self.exponent_bits) - 1
        return largest_field - 1 - (self.specials is Specials.IEEE)

    @property
    def value_bits(self) -> int:
        """Width of an operand's signed `value`: significand, hidden bit, sign and low shift."""
        if not self.is_float:
            return self.bits
        low_shift = min(self.max_exponent, (1 << STEP_LOG2) - 1)
        return 2 + self.fraction_bits + low_shift

    @property
    def step_bits(self) -> int:
        """Width of an operand's unsigned `step` (0 for integers)."""
        return (self.max_exponent >> STEP_LOG2).bit_length()

    @property
    def product_unit_log2(self) -> int:
        """log2 of the last place of a product, and so of the accumulator."""
        return 2 * self.unit_log2

    def accumulator_bits(self, max_terms: int) -> int:
        """Width of a two's complement accumulator that `max_terms` products can never overflow."""
        if self.is_float:
            largest = ((2 << self.fraction_bits) - 1) << self.max_exponent
        else:
            largest = 1 << self.fraction_bits
        return (largest * largest * max_terms).bit_length() + 1


INT8 = Format("int8", 0, 7)
FP16 = Format("fp16", 5, 10, Specials.IEEE)
E4M3 = Format("e4m3", 4, 3, Specials.FN)
E5M2 = Format("e5m2", 5, 2, Specials.IEEE)

FORMATS = {f.name: f for f in (INT8, FP16, E4M3, E5M2)}
"""The formats by name. A new one needs only a line here."""
