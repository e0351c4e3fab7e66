"""Number formats: what the array multiplies and gives, described once for hardware and host.

A format says how an element's bits become an integer. Every finite element equals
``significand * 2**exponent * 2**unit_log2`` with a signed integer significand and an exponent
from 0, so a product of two elements is an integer multiple of ``2**(2 * unit_log2)`` and a sum of
products is an integer: nothing is rounded before the result leaves the array.

The array works with *operands*: the significand already shifted left by the exponent's low
`STEP_LOG2` bits (`value`), and the rest of the exponent (`step`). Decoding once, when an element
enters a buffer, keeps the two small shifters out of every processing element.

docs/extending.md adds one, and says where the hardware ends.

Sources: IEEE 754-2019 (binary16); OCP 8-bit Floating Point Specification 1.0 (E4M3, E5M2).
"""

from dataclasses import dataclass
from enum import Enum, IntEnum

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


class OutputFormat(IntEnum):
    """How a finished sum leaves."""

    FP32 = 0
    FP16 = 1
    INT8 = 2
    RAW = 3
    """The exact sum itself, in two's complement of `RAW_BITS`: only into tensor memory."""

    @property
    def bytes(self) -> int:
        return (4, 2, 1, RAW_BITS // 8)[self]

    @property
    def limbs(self) -> int:
        """Results that a sum leaves as: a RAW one as limbs of 32 bits, least significant first."""
        return max(1, self.bytes // 4)

    @property
    def result_bits(self) -> int:
        """Width in bits of each of these."""
        return 8 * self.bytes // self.limbs


RAW_BITS = 128
ROUNDED = OutputFormat.FP32, OutputFormat.FP16, OutputFormat.INT8
"""What a sum is rounded to; a host takes no other."""


@dataclass(frozen=True)
class Format:
    """A signed integer (``exponent_bits == 0``) or a binary floating-point format.

    An integer is two's complement of ``1 + fraction_bits`` bits. A float is sign, exponent,
    fraction from the top; its bias is IEEE's, and it has subnormals unless it has a `window`.
    Equal fields make equal formats, whichever object holds them.
    """

    name: str
    exponent_bits: int
    fraction_bits: int
    specials: Specials = Specials.NONE
    window: tuple[int, int] | None = None
    """The lowest and the highest exponent field of the numbers that are taken, besides zero; any
    other code counts as not finite. For formats whose whole range no accumulator could hold."""

    @property
    def is_float(self) -> bool:
        return self.exponent_bits > 0

    @property
    def code_bits(self) -> int:
        """Width of an element's code in bits."""
        return 1 + self.exponent_bits + self.fraction_bits

    @property
    def bits(self) -> int:
        """Width of an element in streams and buffers: the code in 4, 8 or 16 bits, zeros above."""
        return next((bits for bits in ELEMENT_BITS if bits >= self.code_bits), self.code_bits)

    @property
    def bias(self) -> int:
        return (1 << (self.exponent_bits - 1)) - 1 if self.is_float else 0

    @property
    def lowest_field(self) -> int:
        """Exponent field of the numbers that are shifted least; a subnormal's counts as 1."""
        return self.window[0] if self.window else 1

    @property
    def unit_log2(self) -> int:
        """log2 of the weight of a significand's last place at the smallest exponent."""
        return self.lowest_field - self.bias - self.fraction_bits if self.is_float else 0

    @property
    def max_exponent(self) -> int:
        """Largest shift of a finite significand: its exponent field less the lowest."""
        if not self.is_float:
            return 0
        largest_field = (1 << self.exponent_bits) - 1 - (self.specials is Specials.IEEE)
        return (self.window[1] if self.window else largest_field) - self.lowest_field

    @property
    def saturates(self) -> bool:
        """Every code is a number, so what is out of range can only become the largest one."""
        return self.specials is Specials.NONE and self.window is None

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

    def fits_binary32(self, max_terms: int) -> bool:
        """A product is a binary32, and no sum of products is subnormal or overflows there."""
        product = 2 * (1 + self.fraction_bits)
        top = self.product_unit_log2 + self.accumulator_bits(max_terms)
        return self.is_float and product <= 24 and self.product_unit_log2 >= -126 and top <= 127

    def flaw(self, max_terms: int, most_bits: int) -> str:
        """Why the array cannot multiply this format, or "" if it can: sums of `max_terms`
        products must fit into `most_bits`."""
        if not 2 <= self.code_bits <= max(ELEMENT_BITS):
            return f"a code has 2 to {max(ELEMENT_BITS)} bits, not {self.code_bits}"
        if not self.is_float and not self.saturates:
            return "an integer has neither specials nor a window"
        top = (1 << self.exponent_bits) - 1 - (self.specials is Specials.IEEE)
        low, high = self.window or (min(1, top), top)
        if not min(1, self.exponent_bits) <= low <= high <= top:
            return f"exponent fields of finite numbers are from 1 to {top}, not {low} to {high}"
        if (needed := self.accumulator_bits(max_terms)) > most_bits:
            return (
                f"an exact sum of {max_terms} products needs {needed} bits, "
                "2 * (1 + fraction bits + largest exponent) + 16, and there are "
                f"{most_bits}: take fewer exponents with a window"
            )
        return ""


ELEMENT_BITS = (4, 8, 16)
"""Widths of elements in streams, which beats and banks divide into."""

INT8 = Format("int8", 0, 7)
FP16 = Format("fp16", 5, 10, Specials.IEEE)
E4M3 = Format("e4m3", 4, 3, Specials.FN)
E5M2 = Format("e5m2", 5, 2, Specials.IEEE)
INT4 = Format("int4", 0, 3)
BF16 = Format("bf16", 8, 7, Specials.IEEE, window=(107, 138))
"""bfloat16 within 32 of its 254 exponents: zero, and magnitudes from 2**-20 to below 2**12."""

FORMATS = {f.name: f for f in (INT8, FP16, E4M3, E5M2, INT4, BF16)}
"""The formats by name. A new one needs only a line here, at the end: devices name their format by
its place."""
