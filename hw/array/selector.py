"""The N:M selector: a group of activations, and for each kept weight the one that it meets.

The index comes with the weight, or, for training, is the element's own: what it has taken before.
The group is held in one register of M elements, which is also the link to the eastern neighbour:
the neighbour takes the group one cycle later, while this register still holds it.
"""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..layouts.array import group_signature, operand, weight_signature


class Selector(wiring.Component):
    """Hold a group, pass both links on, and pair each weight with the activation it selects.

    Latency: 1 cycle to `east` and `south`, 2 cycles to `activation`, `weight` and `last`.
    Throughput: one weight a cycle at any N, 1:M included. Never stalls: a bubble is weight zero.
    A group and its first weight arrive in the same cycle. With `swap` the element holds, from the
    next slot on, the index that it was the first one `offered` to since the swap before, that slot
    included; an index that it takes is not offered further south.

    Members
    -------
    west, east : a group of M activations with its load strobe
    north, south : a kept weight, its index in the group, and the end of the dot product
    activation, weight : the pair to multiply; `last` ends its dot product
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "west": In(group_signature(config)),
                "east": Out(group_signature(config)),
                "north": In(weight_signature(config)),
                "south": Out(weight_signature(config)),
                "activation": Out(operand(config.format)),
                "weight": Out(operand(config.format)),
                "last": Out(1),
            }
        )

    latency = 2

    def elaborate(self, platform):
        m = Module()
        index = self._held(m) if self.config.training else self.south.index
        m.d.sync += self.east.load.eq(self.west.load)
        with m.If(self.west.load):
            m.d.sync += self.east.group.eq(self.west.group)
        m.d.sync += [
            self.south.weight.eq(self.north.weight),
            self.south.index.eq(self.north.index),
            self.south.last.eq(self.north.last),
            self.activation.eq(self.east.group[index]),
            self.weight.eq(self.south.weight),
            self.last.eq(self.south.last),
        ]
        return m

    def _held(self, m: Module):
        """The index that counts: the slot's, or the one that is held."""
        north, south = self.north, self.south
        taken, held, has_taken = Signal.like(north.index), Signal.like(north.index), Signal()
        takes = north.offered & ~has_taken
        m.d.sync += [
            south.held.eq(north.held),
            south.offered.eq(north.offered & has_taken),
            south.swap.eq(north.swap),
            has_taken.eq((has_taken | takes) & ~north.swap),
        ]
        with m.If(takes):
            m.d.sync += taken.eq(north.index)
        # The slot that swaps still meets the old one.
        with m.If(south.swap):
            m.d.sync += held.eq(taken)
        return Mux(south.held, held, south.index)
