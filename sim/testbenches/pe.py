"""One processing element: dot products of every N, bubbles anywhere, the drain chain passing."""

import random

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge

from ...hw.array.pe import ProcessingElement
from ..golden import numbers
from ..golden.accumulation import ARITHMETIC
from .common import configuration, generator, join, operand_bits, random_elements, start


@cocotb.test()
async def dot_products(dut):
    config = configuration()
    rng = generator()
    format, contexts = config.format, config.interleave
    width = format.value_bits + format.step_bits
    latency = ProcessingElement.latency(config)
    await start(dut, "west__load", "west__group", "north__weight", "north__index", "sum_north")

    cycle = 0
    finished = {}  # cycle in which a sum is due at sum_south: its bits

    async def step(group=None, weight=0, index=0, last=0):
        nonlocal cycle
        dut.west__load.value = group is not None
        if group is not None:
            dut.west__group.value = group
        dut.north__weight.value = weight
        dut.north__index.value = index
        dut.north__last.value = last
        passing = random.getrandbits(config.sum_bits)
        dut.sum_north.value = passing
        await FallingEdge(dut.clk)
        # What was passing comes through unless this element's own sum took its place.
        arrival = cycle + contexts + 1
        finished.setdefault(arrival, passing)
        cycle += 1
        if cycle in finished:
            assert int(dut.sum_south.value) == finished.pop(cycle), cycle

    for _ in range(60):
        groups = random.randrange(1, 6)
        products = [([], []) for _ in range(contexts)]
        kept = [random.randrange(config.group + 1) for _ in range(groups)]
        kept[-1] = max(1, kept[-1])
        for g, count in enumerate(kept):
            elements = random_elements(format, rng, config.group)
            packed = join([operand_bits(format, e) for e in elements], width)
            places = [sorted(rng.permutation(config.group)[:count]) for _ in range(contexts)]
            weights = random_elements(format, rng, (contexts, config.group))
            for n in range(count):
                while random.random() < 0.2:
                    for _ in range(contexts):
                        await step()
                for t in range(contexts):
                    place = places[t][n]
                    products[t][0].append(elements[place])
                    products[t][1].append(weights[t][n])
                    last = g == groups - 1 and n == count - 1
                    if last:
                        finished[cycle + latency] = expected(config, *products[t])
                    await step(
                        packed if n == 0 and t == 0 else None,
                        operand_bits(format, weights[t][n]),
                        int(place),
                        last,
                    )
    for _ in range(latency + 1):
        await step()


def expected(config, activations, weights) -> int:
    """The finished sum's bits, by the golden model."""
    dtype = numbers.raw_dtype(config.format)
    x, w = np.array([activations], dtype), np.array(weights, dtype)[:, None]
    arithmetic = ARITHMETIC[config.accumulation]
    return arithmetic.bits(arithmetic.matmul(config.format, x, w)[0, 0], config.sum_bits)
