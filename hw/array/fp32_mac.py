"""The variant to compare with: multiply exactly, accumulate in IEEE binary32.

operands ─► Multiplier ─► Adder ─┬─► sum, if it is done
                            ▲    │
                            └────┘ the sum of this context, or zero
"""

from amaranth import Cat, Module, Mux, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..arith.fp32 import BIAS, MANTISSA, Adder, Multiplier, binary32
from ..config import Config
from ..layouts.array import operand
from ..lib.pipeline import delay, register


class Fp32Mac(wiring.Component):
    """Add products into T binary32 sums in turn, rounding every addition to nearest even.

    T (`config.interleave`) is the adder's depth. Latency: `done` and `sum` come `latency` cycles
    after the pair that `last` marks. Throughput: one pair a cycle, no stalls; the pair of cycle t
    belongs to context t mod T.

    Members
    -------
    activation, weight : In(layouts.operand(format)), the pair to multiply
    last : In(1), the pair is the last of its dot product
    sum : Out(32), a binary32, valid with `done`
    """

    @staticmethod
    def latency(config: Config) -> int:
        """Cycles, as above."""
        return Multiplier.latency + Adder.latency

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "activation": In(operand(config.format)),
                "weight": In(operand(config.format)),
                "last": In(1),
                "sum": Out(32),
                "done": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.multiplier = multiplier = Multiplier(self.config.format)
        m.submodules.adder = adder = Adder()
        m.d.comb += [
            multiplier.a.eq(self.activation),
            multiplier.b.eq(self.weight),
            adder.a.eq(Mux(self.done, 0, adder.sum.as_value())),
            adder.b.eq(multiplier.product),
            self.done.eq(delay(m, "last", self.last, self.latency(self.config))),
            self.sum.eq(binary32(adder.sum, self.config.format.product_unit_log2)),
        ]
        return m


class Fp32ToInteger(wiring.Component):
    """A binary32 that is a multiple of a product's last place, as an integer in that unit: what the
    epilogue takes.

    Latency: `latency` cycles. Throughput: one a cycle, no stalls.

    Members
    -------
    i : In({valid, sum}), a binary32
    o : Out({valid, sum}), two's complement of `config.accumulator_bits`
    """

    latency = 2

    def __init__(self, config: Config):
        self.config = config
        bits = config.accumulator_bits
        super().__init__(
            {
                "i": In(wiring.Signature({"valid": Out(1), "sum": Out(32)})),
                "o": Out(wiring.Signature({"valid": Out(1), "sum": Out(signed(bits))})),
            }
        )

    def elaborate(self, platform):
        m = Module()
        bits, word = self.config.accumulator_bits, self.i.sum
        exponent = word[MANTISSA - 1 : 31]
        place = (exponent - (BIAS + self.config.format.product_unit_log2)).as_unsigned()[:7]
        mantissa = Cat(word[: MANTISSA - 1], exponent.any())
        s = register(
            m,
            "shifted",
            {
                "valid": self.i.valid,
                "sign": word[31],
                "magnitude": (mantissa << place)[MANTISSA - 1 :][: bits - 1],
            },
        )
        m.d.sync += [
            self.o.valid.eq(s["valid"]),
            self.o.sum.eq(Mux(s["sign"], -s["magnitude"], s["magnitude"])),
        ]
        return m
