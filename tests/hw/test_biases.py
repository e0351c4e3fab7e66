"""Binary32 as integers of a sum's unit, in gateware and golden model, against fractions."""

import math
import random
import struct
from fractions import Fraction

import pytest
from amaranth.sim import Simulator

from heddle.hw.tensor.biases import FixedPoint
from heddle.sim.golden.biases import fixed_point

UNITS = [(96, -48), (32, 0), (52, -18), (94, -54)]
"""Width and unit of FP16's, INT8's, E4M3's and BF16's sums."""


def numbers(width: int, unit: int) -> list[int]:
    """Bits of binary32: ties, what lies beside them, extremes, and any."""
    drawn = random.Random(width)
    places = [0, -1, -2, -24, -25, -26, 1, 7, 8, 9, width - 26, width - 25, width - 24]
    exponents = {min(254, max(1, 150 + unit + place)) for place in places}
    found = {0, 1 << 31, 1, 0x7FFFFF, 0x800000, 0x7F7FFFFF, 0x7F800000, 0xFF800000, 0x7FC00001}
    for exponent in exponents:
        for fraction in (0, 1, 2, 3, 0x400000, 0x7FFFFF, drawn.getrandbits(23)):
            found |= {sign << 31 | exponent << 23 | fraction for sign in (0, 1)}
    for _ in range(200):
        exponent = min(254, max(0, 150 + unit + drawn.randrange(-28, width - 20)))
        found.add(drawn.getrandbits(1) << 31 | exponent << 23 | drawn.getrandbits(23))
    return sorted(found)


def wanted(raw: int, width: int, unit: int) -> tuple[int, bool]:
    (value,) = struct.unpack("<f", raw.to_bytes(4, "little"))
    if not math.isfinite(value) or abs(value) >= Fraction(2) ** (width - 1 + unit):
        return 0, True
    return round(Fraction(value) / Fraction(2) ** unit), False


@pytest.mark.parametrize(("width", "unit"), UNITS)
def test_the_golden_model(width, unit):
    for raw in numbers(width, unit):
        assert fixed_point(raw, unit, width) == wanted(raw, width, unit), hex(raw)


@pytest.mark.parametrize(("width", "unit"), UNITS)
def test_the_gateware(width, unit):
    """All of them one after another, as fast as they are told to be."""
    dut, longest = FixedPoint(width, unit), 0

    async def bench(context):
        nonlocal longest
        for raw in numbers(width, unit):
            context.set(dut.i.payload.as_value(), raw)
            context.set(dut.i.valid, 1)
            assert context.get(dut.i.ready)
            await context.tick()
            context.set(dut.i.valid, 0)
            cycles = 1
            while not context.get(dut.valid):
                await context.tick()
                cycles += 1
            got = context.get(dut.value), bool(context.get(dut.lost))
            assert got == wanted(raw, width, unit), hex(raw)
            longest = max(longest, cycles)
            await context.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert longest <= 4 + 25
