"""What several proofs claim, or assume, of signals over time."""

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.hdl import Assert, Assume, Fragment

from ...hw.tensor.memory import TensorMemory


class Chosen:
    """Mixed into a component, leaves its outputs to the solver."""

    def elaborate(self, platform):
        return Module()


def elaborated(component) -> Fragment:
    """`component` as logic at once, so that claims can speak of the registers in it."""
    return Fragment.get(component, None)


def during(fsm, *names: str) -> Value:
    """Whether the state machine is in one of these states."""
    return Cat(fsm.state == fsm.encoding[name] for name in names).any()


def ranking(m: Module, during, steps: tuple[str, ...], left: dict[str, Value]) -> Value:
    """How far a state machine is from its end: the later of `steps` its state stands in the larger.

    `during` says whether it is in a state. A step is one or several states; `left` tells apart
    within it, by state, in at most 32 bits.
    """
    step, rest = Signal(range(len(steps))), Signal(32)
    for number, names in enumerate(steps):
        for name in names.split():
            with m.If(during(name)):
                m.d.comb += [step.eq(number), rest.eq(left.get(name, 0))]
    return Cat(rest, step)


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


def serve(m: Module, port, granted, data):
    """Be tensor memory at a read port: it takes reads when `granted`, and has `data` for them
    `TensorMemory.LATENCY` cycles later. Returns whether a read is taken."""
    taken, on_the_way = port.valid & port.ready, Signal(TensorMemory.LATENCY)
    m.d.sync += on_the_way.eq(on_the_way << 1 | taken)
    m.d.comb += [port.ready.eq(granted), port.there.eq(on_the_way[-1]), port.data.eq(data)]
    return taken


def reads_within(m: Module, port, first, count):
    """Assert that no word is asked for but `count` from `first` on."""
    for address in port.address:
        m.d.comb += Assert(~port.valid | ((address >= first) & (address < first + count)))
