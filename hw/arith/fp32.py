"""Binary32 for sums of products: every number is a multiple of one unit, and none is too large.

The unit is a product's last place (of FP16's, 2**-48), and a sum of products is below binary32's
largest number (`Format.fits_binary32`): so there are neither subnormals nor infinities, and an
exponent counts from the unit. Source: IEEE 754-2019, binary32, roundTiesToEven.
"""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import FP32_ADDER_STAGES
from ..formats import STEP_LOG2, Format
from ..layouts.array import operand
from ..lib.pipeline import register
from .rounding import leading_one

MANTISSA = 24
BIAS = 127

FLOAT = data.StructLayout({"mantissa": MANTISSA, "exponent": 7, "sign": 1})
"""``mantissa * 2**(exponent - 23)`` units, mantissa's top bit set, or all zero for zero."""


def binary32(value, unit_log2: int):
    """The bits of a FLOAT in units of ``2**unit_log2`` as IEEE 754 has them."""
    exponent = (value.exponent + (BIAS + unit_log2))[:8]
    bits = Cat(value.mantissa[:-1], exponent, value.sign)
    return Mux(value.mantissa[-1], bits, 0)


class Multiplier(wiring.Component):
    """The product of two operands, exactly: it has at most 24 significant bits.

    Latency: `latency` cycles. Throughput: one a cycle, no stalls.

    Members
    -------
    a, b : In(layouts.operand(format))
    product : Out(FLOAT)
    """

    latency = 2

    def __init__(self, format: Format):
        self.format = format
        super().__init__(
            {"a": In(operand(format)), "b": In(operand(format)), "product": Out(FLOAT)}
        )

    def elaborate(self, platform):
        m = Module()
        exact = {"value": self.a.value * self.b.value, "steps": self.a.step + self.b.step}
        exact = register(m, "exact", exact)
        width = max(2 * self.format.value_bits - 1, MANTISSA)
        negative = exact["value"] < 0
        magnitude = Mux(negative, -exact["value"], exact["value"])[:width]
        top = Signal(range(width))
        m.d.comb += top.eq(leading_one(magnitude))
        shifted = magnitude << (width - 1 - top).as_unsigned()[: len(top)]
        m.d.sync += [
            self.product.mantissa.eq(shifted[width - MANTISSA : width]),
            self.product.exponent.eq(top + (exact["steps"] << STEP_LOG2)),
            self.product.sign.eq(negative),
        ]
        with m.If(magnitude == 0):
            m.d.sync += self.product.eq(0)
        return m


class Adder(wiring.Component):
    """The sum of two numbers, rounded to nearest, ties to even.

    Latency: `FP32_ADDER_STAGES` cycles. Throughput: one a cycle, no stalls.

        swap ─► align ─► add ─► normalise ─► round

    Members
    -------
    a, b : In(FLOAT)
    sum : Out(FLOAT)
    """

    latency = FP32_ADDER_STAGES

    def __init__(self):
        super().__init__({"a": In(FLOAT), "b": In(FLOAT), "sum": Out(FLOAT)})

    def elaborate(self, platform):
        m = Module()
        a, b = self.a, self.b
        # Exponent above mantissa: one comparison orders two magnitudes, zero included.
        swap = Cat(b.mantissa, b.exponent) > Cat(a.mantissa, a.exponent)
        large = FLOAT(Mux(swap, b.as_value(), a.as_value()))
        small = FLOAT(Mux(swap, a.as_value(), b.as_value()))
        s = register(
            m,
            "swapped",
            {
                "large": large.mantissa,
                "small": small.mantissa,
                "exponent": large.exponent,
                "distance": Mux(small.mantissa == 0, 0, large.exponent - small.exponent)[:7],
                "sign": large.sign,
                "subtract": large.sign ^ small.sign,
            },
        )

        # Three bits below the last place - guard, round, sticky - are enough to round right.
        wide = Cat(Const(0, MANTISSA + 2), s.pop("small"))
        near = s.pop("distance")
        aligned = wide >> Mux(near > MANTISSA + 2, MANTISSA + 2, near)
        kept = Cat(aligned[:MANTISSA].any(), aligned[MANTISSA:])
        s = register(m, "aligned", {**s, "small": kept[: MANTISSA + 3]})

        large = Cat(Const(0, 3), s.pop("large"))
        small, subtract = s.pop("small"), s.pop("subtract")
        total = Mux(subtract, large - small, large + small)[: MANTISSA + 4]
        s = register(m, "added", {**s, "sum": total})

        total = s.pop("sum")
        place = Signal(range(MANTISSA + 4))
        m.d.comb += place.eq(leading_one(total))
        left = (total << (MANTISSA + 3 - place).as_unsigned()[: len(place)])[: MANTISSA + 4]
        exponent = (s.pop("exponent") + place - (MANTISSA + 2)).as_unsigned()[:7]
        s = register(m, "normal", {**s, "exponent": exponent, "total": left})

        total = s["total"]
        mantissa, below = total[4:], total[:4]
        up = below[3] & (below[:3].any() | mantissa[0])
        rounded = mantissa + up
        carry = rounded[MANTISSA]
        m.d.sync += [
            self.sum.mantissa.eq(Mux(carry, 1 << (MANTISSA - 1), rounded[:MANTISSA])),
            self.sum.exponent.eq(s["exponent"] + carry),
            self.sum.sign.eq(s["sign"]),
        ]
        with m.If(~total[-1]):
            m.d.sync += self.sum.eq(0)
        return m
