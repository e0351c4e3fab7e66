"""From an element's bits to the operand that the array multiplies.

    element  s eeeee ffffffffff ──┬─ hidden bit, sign ──► << low exponent bits ──► value (signed)
                                  └─ exponent, high bits ────────────────────────► step

Subnormals need no case of their own: their hidden bit is 0 and their exponent counts as 1. Within
a format's window there are none: zero is the only number whose hidden bit is 0.
"""

from amaranth import Cat, Const, Module, Mux, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..formats import STEP_LOG2, Format, Specials
from ..layouts.array import operand


class OperandDecoder(wiring.Component):
    """Decode one element; see `hw.formats` for what value and step mean.

    Latency: none (combinational). An element that is not finite decodes to zero and raises
    `nonfinite`, so that one cannot silently poison a sum.

    Members
    -------
    raw : In(format.bits)
    operand : Out(layouts.operand(format))
    nonfinite : Out(1)
    """

    def __init__(self, format: Format):
        self.format = format
        super().__init__(
            {"raw": In(format.bits), "operand": Out(operand(format)), "nonfinite": Out(1)}
        )

    def elaborate(self, platform):
        m = Module()
        format = self.format
        raw, above = self.raw[: format.code_bits], self.raw[format.code_bits :]
        if not format.is_float:
            m.d.comb += self.nonfinite.eq(above.any())
            with m.If(~self.nonfinite):
                m.d.comb += self.operand.value.eq(raw.as_signed())
            return m

        fraction = raw[: format.fraction_bits]
        exponent = raw[format.fraction_bits : -1]
        normal = exponent.any()
        lowest = format.lowest_field if format.window else normal
        shift = (exponent - lowest)[: format.exponent_bits]
        magnitude = Cat(fraction, normal) << shift[:STEP_LOG2]
        m.d.comb += self.nonfinite.eq(above.any() | _nonfinite(format, exponent, fraction))
        with m.If(~self.nonfinite):
            m.d.comb += [
                self.operand.value.eq(Mux(raw[-1], -magnitude, magnitude)),
                self.operand.step.eq(shift[STEP_LOG2:]),
            ]
        return m


def _nonfinite(format: Format, exponent: Value, fraction: Value) -> Value:
    """An infinity, a NaN, or outside the window."""
    beyond = Const(0)
    if format.window:
        lowest, highest = format.window
        zero = ~Cat(fraction, exponent).any()
        beyond = ~zero & ((exponent < lowest) | (exponent > highest))
    match format.specials:
        case Specials.IEEE:
            return beyond | exponent.all()
        case Specials.FN:
            return beyond | (exponent.all() & fraction.all())
        case Specials.NONE:
            return beyond
