"""The variant to compare with: multiply exactly, accumulate in IEEE binary32.

Every sum of products is a multiple of their last place (of FP16's, 2**-48) and below binary32's
largest number (`Format.fits_binary32`), so the adder needs neither subnormals nor infinities.

    product ─► normalise ─►┌ swap ─► align ─► add ─► normalise ─► round ┐
                           └◄──────── the sum of this context ◄─────────┘
"""

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..arith.rounding import leading_one
from ..config import FP32_ADDER_STAGES as ADDER_STAGES
from ..config import Config
from ..formats import STEP_LOG2
from ..layouts import operand
from ..lib.pipeline import register

MANTISSA = 24
BIAS = 127

FLOAT = data.StructLayout({"mantissa": MANTISSA, "exponent": 7, "sign": 1})
"""``mantissa * 2**(exponent - 23)`` units of a product's last place, mantissa's top bit set, or all
zero for zero."""


class Fp32Mac(wiring.Component):
    """Add products into T binary32 sums in turn, rounding every addition to nearest even.

    T (`config.interleave`) is the adder's depth. Latency: `done` and `sum` come `latency` cycles
    after the pair that `last` marks. Throughput: one pair a cycle, no stalls; the pair of cycle t
    belongs to context t mod T. Source: IEEE 754-2019, binary32, roundTiesToEven.

    Members
    -------
    activation, weight : In(layouts.operand(format)), the pair to multiply
    last : In(1), the pair is the last of its dot product
    sum : Out(32), a binary32, valid with `done`
    """

    @staticmethod
    def latency(config: Config) -> int:
        """Cycles, as above."""
        return 2 + ADDER_STAGES

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
        value_bits = self.config.format.value_bits
        product = register(
            m,
            "product",
            {
                "value": self.activation.value * self.weight.value,
                "steps": self.activation.step + self.weight.step,
                "last": self.last,
            },
        )
        # At most 24 significant bits: normalising to 24 loses nothing.
        width = max(2 * value_bits - 1, MANTISSA)
        negative = product["value"] < 0
        magnitude = Mux(negative, -product["value"], product["value"])[:width]
        top = Signal(range(width))
        m.d.comb += top.eq(leading_one(magnitude))
        addend = Signal(FLOAT)
        shifted = magnitude << (width - 1 - top).as_unsigned()[: len(top)]
        m.d.sync += [
            addend.mantissa.eq(shifted[width - MANTISSA : width]),
            addend.exponent.eq(top + (product["steps"] << STEP_LOG2)),
            addend.sign.eq(negative),
        ]
        with m.If(magnitude == 0):
            m.d.sync += addend.eq(0)
        last = register(m, "addend", {"last": product["last"]})

        total, finished = Signal(FLOAT), Signal()
        augend = Signal(FLOAT)
        m.d.comb += augend.eq(Mux(finished, 0, total.as_value()))
        self._add(m, augend, addend, last, total, finished)
        m.d.comb += [
            self.done.eq(finished),
            self.sum.eq(
                Mux(
                    total.mantissa[-1],
                    Cat(
                        total.mantissa[:-1],
                        (total.exponent + (BIAS + self.config.format.product_unit_log2))[:8],
                        total.sign,
                    ),
                    0,
                )
            ),
        ]
        return m

    def _add(self, m: Module, a, b, last, total, finished):
        """``total = a + b``, ADDER_STAGES cycles later."""
        # Exponent above mantissa: one comparison orders two magnitudes, zero included.
        swap = Cat(b.mantissa, b.exponent) > Cat(a.mantissa, a.exponent)
        large = FLOAT(Mux(swap, b.as_value(), a.as_value()))
        small = FLOAT(Mux(swap, a.as_value(), b.as_value()))
        s = register(
            m,
            "swapped",
            {
                **last,
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
        low = MANTISSA
        kept = Cat(aligned[:low].any(), aligned[low:])
        s = register(m, "aligned", {**s, "small": kept[: MANTISSA + 3]})

        large = Cat(Const(0, 3), s.pop("large"))
        small, subtract = s.pop("small"), s.pop("subtract")
        s = register(
            m, "added", {**s, "sum": Mux(subtract, large - small, large + small)[: MANTISSA + 4]}
        )

        result = s.pop("sum")
        place = Signal(range(MANTISSA + 4))
        m.d.comb += place.eq(leading_one(result))
        left = (result << (MANTISSA + 3 - place).as_unsigned()[: len(place)])[: MANTISSA + 4]
        exponent = (s.pop("exponent") + place - (MANTISSA + 2)).as_unsigned()[:7]
        s = register(m, "normal", {**s, "exponent": exponent, "result": left})

        result = s["result"]
        mantissa, below = result[4:], result[:4]
        up = below[3] & (below[:3].any() | mantissa[0])
        rounded = mantissa + up
        carry = rounded[MANTISSA]
        m.d.sync += [
            total.mantissa.eq(Mux(carry, 1 << (MANTISSA - 1), rounded[:MANTISSA])),
            total.exponent.eq(s["exponent"] + carry),
            total.sign.eq(s["sign"]),
            finished.eq(s["last"]),
        ]
        with m.If(~result[-1]):
            m.d.sync += total.eq(0)


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
