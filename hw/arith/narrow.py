"""A binary32 as an element of the array's format, rounded once."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..formats import Format, Specials
from ..lib.pipeline import register
from .rounding import shift_stage

BINARY32 = data.StructLayout({"fraction": 23, "exponent": 8, "sign": 1})


class Narrow(wiring.Component):
    """Round to the nearest element, ties to even; beyond the largest one to infinity, or to NaN in
    a format that has none. A NaN becomes the one whose fraction is all ones.

    The format is a float without a window, of fewer exponents than a binary32. Sources: IEEE
    754-2019, roundTiesToEven; OCP 8-bit Floating Point Specification 1.0.

    Latency: `latency` cycles. Throughput: one a cycle, no stalls.

    Members
    -------
    i : In(BINARY32)
    o : Out(format.bits)
    """

    latency = 3

    def __init__(self, format: Format):
        self.format = format
        super().__init__({"i": In(BINARY32), "o": Out(format.bits)})

    def elaborate(self, platform):
        m = Module()
        fraction, given = self.format.fraction_bits, self.i
        # The element's exponent field, if that is from 1; a subnormal's significand lies lower.
        field = (given.exponent.as_unsigned() - (127 - self.format.bias)).as_signed()
        normal, kept = field > 0, fraction + 2
        below = 22 - fraction
        most = below + kept + 1
        amount = Mux(normal, below, below + 1 - field)
        s = register(
            m,
            "placed",
            {
                "significand": Cat(given.fraction, given.exponent != 0),
                "amount": Mux(field < -kept, most, amount)[: most.bit_length()],
                "field": Mux(normal, field - 1, 0)[:9],
                "special": given.exponent == 255,
                "nan": (given.exponent == 255) & (given.fraction != 0),
                "sign": given.sign,
            },
        )
        value, sticky = s.pop("significand"), Signal()
        for bit in reversed(range(most.bit_length())):
            value, sticky = shift_stage(value, sticky, s["amount"], bit, 24)
        s.pop("amount")
        s = register(m, "shifted", s | {"value": value[:kept], "sticky": sticky})
        # The guard bit decides, what was lost breaks a tie, and a carry runs into the exponent.
        value = s["value"]
        rounded = value[1:] + (value[0] & (s["sticky"] | value[1]))
        code = Signal(fraction + 10)
        m.d.comb += code.eq(rounded + (s["field"] << fraction))
        infinity = (1 << self.format.exponent_bits) - 1 << fraction
        nan = infinity | (1 << fraction) - 1
        beyond = infinity if self.format.specials is Specials.IEEE else nan
        over = s["special"] | (code >= beyond)
        magnitude = Mux(s["nan"], nan, Mux(over, beyond, code))[: self.format.code_bits - 1]
        m.d.comb += self.o.eq(register(m, "out", {"o": Cat(magnitude, s["sign"])})["o"])
        return m
