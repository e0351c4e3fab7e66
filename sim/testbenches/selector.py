"""The N:M selector: every weight meets the activation that its index names, at any N."""

import random

import cocotb
from cocotb.triggers import FallingEdge

from ...hw.array.selector import Selector
from .common import configuration, generator, join, start


@cocotb.test()
async def selects_by_index(dut):
    config = configuration()
    generator()
    width = config.format.value_bits + config.format.step_bits
    await start(dut)

    group = [0] * config.group
    expected = []
    for cycle in range(3000):
        load = cycle == 0 or random.random() < random.choice((0.1, 0.9))
        offered = [random.getrandbits(width) for _ in range(config.group)]
        if load:
            group = offered
        index, weight = random.randrange(config.group), random.getrandbits(width)
        last = random.random() < 0.2
        dut.west__group.value = join(offered, width)
        dut.west__load.value = load
        dut.north__weight.value = weight
        dut.north__index.value = index
        dut.north__last.value = last
        expected.append((group[index], weight, last))

        await FallingEdge(dut.clk)
        # The links are registers: a cycle later the neighbours see what this one saw.
        assert int(dut.east__load.value) == load
        assert int(dut.east__group.value) == join(group, width)
        assert int(dut.south__weight.value) == weight
        assert int(dut.south__index.value) == index
        assert int(dut.south__last.value) == last
        if cycle >= Selector.latency:
            activation, weight, last = expected[cycle + 1 - Selector.latency]
            assert int(dut.activation.value) == activation
            assert int(dut.weight.value) == weight
            assert int(dut.last.value) == last
