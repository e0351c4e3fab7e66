"""Binary32 to elements: every element, every tie, and what lies around them, by the standards."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from heddle.hw.arith.narrow import Narrow
from heddle.hw.formats import E4M3, E5M2, FP16
from heddle.sim.golden import numbers


def words(format, rng) -> np.ndarray:
    """Elements, middles between them and their neighbours, and any binary32."""
    codes = np.arange(1 << format.bits).astype(numbers.raw_dtype(format))
    values = np.sort(numbers.to_float(format, codes))
    values = values[np.isfinite(values)]
    if len(values) > 1500:
        keep = rng.choice(len(values) - 1, 1500, replace=False)
        values = np.unique(np.concatenate([values[keep], values[keep + 1], values[[0, -1]]]))
    elements = values.astype("f4").view("u4")
    middles = ((values[:-1] + values[1:]) / 2).astype("f4").view("u4")
    exponents = rng.integers(110 - format.bias, 131 + format.bias, 2000) << 23
    near = exponents | rng.integers(1 << 23, size=2000) | rng.integers(2, size=2000) << 31
    special = [0, 1 << 31, 1, 0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC00001, 0x7F7FFFFF, 0x7FFFFF]
    several = elements, middles, middles + 1, middles - 1, near, special
    return np.concatenate([np.array(each).astype("u4") for each in several])


@pytest.mark.parametrize("format", [FP16, E4M3, E5M2], ids=lambda f: f.name)
def test_every_element_and_tie(format):
    given = words(format, np.random.default_rng(3))
    made = []
    narrow = Narrow(format)

    async def bench(ctx):
        for word in [*given.tolist(), *[0] * narrow.latency]:
            ctx.set(narrow.i.as_value(), word)
            await ctx.tick()
            made.append(ctx.get(narrow.o))

    simulator = Simulator(narrow)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    made = np.array(made[narrow.latency - 1 :])[: len(given)]
    values = given.view("f4")
    with np.errstate(invalid="ignore"):
        wanted = numbers.from_float(format, values.astype("f8"))
    bits = format.code_bits - 1
    sign = given >> 31 << bits
    wanted = np.where(np.isnan(values), sign | (1 << bits) - 1, wanted)
    assert np.array_equal(made, wanted)


def test_halves_that_ieee_names():
    """Values of binary16 that are literals, and the ties next to them."""
    for word, half in (
        (0x3F800000, 0x3C00),
        (0x477FE000, 0x7BFF),
        (0x477FF000, 0x7C00),
        (0x33800000, 0x0001),
        (0x33000000, 0x0000),
        (0x33000001, 0x0001),
        (0x3F801000, 0x3C00),
        (0x3F803000, 0x3C02),
        (0xBF800000, 0xBC00),
    ):
        narrow, found = Narrow(FP16), []

        async def bench(ctx, narrow=narrow, found=found, word=word):
            ctx.set(narrow.i.as_value(), word)
            await ctx.tick().repeat(narrow.latency)
            found.append(ctx.get(narrow.o))

        simulator = Simulator(narrow)
        simulator.add_clock(1e-6)
        simulator.add_testbench(bench)
        simulator.run()
        assert found == [half]
