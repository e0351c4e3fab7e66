"""What several proofs claim, or assume, of signals over time."""

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.hdl import Assert, Assume


class Chosen:
    """Mixed into a component, leaves its outputs to the solver."""

    def elaborate(self, platform):
        return Module()


def stays(m: Module, valid, ready, *payload, claim=Assert):
    """What is offered is offered unchanged until it is taken; `claim` is Assert or Assume."""
    waiting = Signal()
    m.d.sync += waiting.eq(valid & ~ready)
    m.d.comb += claim(~waiting | valid)
    for value in map(Value.cast, payload):
        before = Signal.like(value, name="before")
        m.d.sync += before.eq(value)
        m.d.comb += claim(~waiting | (value == before))


def constant(m: Module, *values):
    """Assume that the solver's choice of `values` is the same in every cycle."""
    choice = Cat(values)
    first, before = Signal(init=1), Signal.like(choice, name="choice")
    m.d.sync += [first.eq(0), before.eq(choice)]
    m.d.comb += Assume(first | (choice == before))


def falls(m: Module, number, moving):
    """Assert that `number` is smaller in the cycle after each in which something is `moving`."""
    before, moved = Signal.like(number), Signal()
    m.d.sync += [before.eq(number), moved.eq(moving)]
    m.d.comb += Assert(~moved | (number < before))


def ends_within(m: Module, stuck, cycles: int):
    """Assert that `stuck` never lasts more than `cycles` cycles."""
    lasted = Signal(range(cycles + 2))
    m.d.sync += lasted.eq(Mux(stuck, lasted + 1, 0))
    m.d.comb += Assert(lasted <= cycles)
