"""The N:M selector: every weight meets the activation that its index names, at any N, or the one
that the element holds."""

import random

import cocotb
from cocotb.triggers import FallingEdge

from ...hw.array.selector import Selector
from ...hw.layouts.array import HOLDING
from .common import configuration, generator, join, start


class Element:
    """What an element holds."""

    def __init__(self):
        self.held = self.taken = 0
        self.has_taken = False

    def meets(self, index: int, held: bool, offered: bool, swap: bool) -> tuple[int, bool]:
        """The index that counts for a slot, and whether the slot's is offered on."""
        counts, onward = self.held if held else index, offered and self.has_taken
        if offered and not self.has_taken:
            self.taken, self.has_taken = index, True
        if swap:
            self.held, self.has_taken = self.taken, False
        return counts, onward


@cocotb.test()
async def selects_by_index(dut):
    config = configuration()
    generator()
    width = config.format.value_bits + config.format.step_bits
    await start(dut)

    group = [0] * config.group
    expected = []
    element = Element()
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
        onward = {}
        if config.training:
            bits = {name: random.random() < 0.3 for name in HOLDING.members}
            for name, value in bits.items():
                getattr(dut, f"north__{name}").value = value
            index_here, offers = element.meets(index, **bits)
            onward = bits | {"offered": offers}
        else:
            index_here = index
        expected.append((group[index_here], weight, last))

        await FallingEdge(dut.clk)
        # The links are registers: a cycle later the neighbours see what this one saw.
        assert int(dut.east__load.value) == load
        assert int(dut.east__group.value) == join(group, width)
        assert int(dut.south__weight.value) == weight
        assert int(dut.south__index.value) == index
        assert int(dut.south__last.value) == last
        for name, value in onward.items():
            assert int(getattr(dut, f"south__{name}").value) == value, name
        if cycle >= Selector.latency:
            activation, weight, last = expected[cycle + 1 - Selector.latency]
            assert int(dut.activation.value) == activation
            assert int(dut.weight.value) == weight
            assert int(dut.last.value) == last
