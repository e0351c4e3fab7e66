"""A block cut off from the pins, so that its own registers decide how fast it can be clocked."""

from amaranth import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class Isolated(wiring.Component):
    """`block` between registers: its inputs are a shift register's bits, its outputs are folded
    into another one, so that two pins are enough and nothing is optimised away.

    Members
    -------
    i : In(1), into the inputs' shift register
    o : Out(1), out of the outputs'
    """

    def __init__(self, block: wiring.Component):
        self.block = block
        super().__init__({"i": In(1), "o": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.block = block = self.block
        inputs, outputs = [], []
        for _, member, value in block.signature.flatten(block):
            (inputs if member.flow is In else outputs).append(Value.cast(value))
        given, taken = Cat(inputs), Cat(outputs)
        shift, fold = Signal(len(given)), Signal(len(taken))
        m.d.sync += [
            shift.eq(Cat(self.i, shift)),
            fold.eq(taken ^ Cat(0, fold)),
        ]
        m.d.comb += [given.eq(shift), self.o.eq(fold[-1])]
        return m
