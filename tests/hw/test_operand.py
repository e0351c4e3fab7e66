"""The operand decoder against the golden model's own reading of each format."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from heddle.hw.arith.operand import OperandDecoder
from heddle.hw.formats import FORMATS, STEP_LOG2
from heddle.sim.golden import numbers


def _codes(format):
    codes = np.arange(1 << format.bits)
    if format.bits <= 8:
        return codes
    # Every exponent with the smallest, largest and some random fractions, both signs.
    rng = np.random.default_rng(1)
    last = (1 << format.fraction_bits) - 1
    fraction = codes & last
    edges = codes[(fraction <= 1) | (fraction >= last - 1)]
    return np.concatenate([edges, rng.choice(codes, 2000)])


@pytest.mark.parametrize("format", FORMATS.values(), ids=lambda f: f.name)
def test_every_code(format):
    decoder = OperandDecoder(format)
    codes = _codes(format)
    raw = codes.astype(numbers.raw_dtype(format))
    finite = numbers.is_finite(format, raw)
    expected = np.where(finite, numbers.significands(format, np.where(finite, raw, 0)), 0)

    async def testbench(ctx):
        for code, ok, integer in zip(codes, finite, expected, strict=True):
            ctx.set(decoder.raw, int(code))
            operand = ctx.get(decoder.operand)
            assert operand.value << (operand.step << STEP_LOG2) == integer, hex(code)
            assert ctx.get(decoder.nonfinite) == (not ok), hex(code)

    simulator = Simulator(decoder)
    simulator.add_testbench(testbench)
    simulator.run()
