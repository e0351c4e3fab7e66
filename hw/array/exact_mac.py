"""Multiply and accumulate without rounding: an integer product, shifted into a wide integer sum.

activation ─┐
            × ─►[product]─► << 4·(steps) ─►[addend]─► + ─►[sum]
weight ─────┘                                         ▲     │
                                                      └─────┘
"""

from amaranth import Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..formats import STEP_LOG2
from ..layouts.array import operand


class ExactMac(wiring.Component):
    """Add products into `config.interleave` sums in turn; hand a sum over when it is complete.

    The sum is a two's complement integer in units of ``2**format.product_unit_log2``, wide
    enough (`Config.accumulator_bits`) that no addition is ever rounded or overflows.

    Latency: `done` and `sum` come `latency` cycles after the pair that `last` marks, and the next
    pair of the same context starts from zero. Throughput: one pair a cycle, no stalls. The pair
    of cycle t belongs to context t mod T.

    Members
    -------
    activation, weight : In(layouts.operand(format)), the pair to multiply
    last : In(1), the pair is the last of its dot product
    sum : Out(accumulator_bits), valid with `done`
    """

    @staticmethod
    def latency(config: Config) -> int:
        """Cycles, as above."""
        return 1 + bool(config.format.step_bits)

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "activation": In(operand(config.format)),
                "weight": In(operand(config.format)),
                "last": In(1),
                "sum": Out(config.accumulator_bits),
                "done": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, format = self.config, self.config.format

        product = Signal(signed(2 * format.value_bits))
        product_last = Signal()
        m.d.sync += [
            product.eq(self.activation.value * self.weight.value),
            product_last.eq(self.last),
        ]
        addend, last = product, product_last
        if format.step_bits:
            steps = Signal(range(2 * (format.max_exponent >> STEP_LOG2) + 1))
            addend = Signal(signed(min(config.accumulator_bits, _addend_bits(config))))
            last = Signal()
            m.d.sync += [
                steps.eq(self.activation.step + self.weight.step),
                addend.eq(product << (steps << STEP_LOG2)),
                last.eq(product_last),
            ]

        sums = [
            Signal(signed(config.accumulator_bits), name=f"sum_{t}")
            for t in range(config.interleave)
        ]
        m.d.comb += [self.sum.eq(sums[-1] + addend), self.done.eq(last)]
        m.d.sync += sums[0].eq(Mux(last, Const(0), self.sum.as_signed()))
        m.d.sync += [after.eq(before) for before, after in zip(sums, sums[1:], strict=False)]
        return m


def _addend_bits(config: Config) -> int:
    """Width of the largest single product, shifted."""
    return config.format.accumulator_bits(max_terms=1)
