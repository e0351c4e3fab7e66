"""A design through a library of shared modules behaves as the same design without one."""

import random
import re

import pytest
from amaranth import ClockDomain, ClockSignal, DomainRenamer, Module, ResetSignal, Signal
from amaranth.hdl import Fragment
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from heddle.hw.lib.library import Library, instantiate
from heddle.hw.verilog import convert
from heddle.sim.testbenches.runner import simulate


class Delay(wiring.Component):
    """A register of `width` bits that adds `increment`."""

    def __init__(self, width: int, increment: int):
        self.width = width
        self.increment = increment
        super().__init__({"i": In(width), "o": Out(width)})

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.o.eq(self.i + self.increment)
        return m


class Row(wiring.Component):
    """Repeated children of its own: a module of the library that needs others."""

    def __init__(self, increments: tuple[int, ...], library: Library | None = None):
        self.increments = increments
        self.library = library
        super().__init__({"i": In(8), "o": Out(8)})

    def elaborate(self, platform):
        m = Module()
        link = self.i
        for n, increment in enumerate(self.increments):
            delay = instantiate(m, f"delay_{n}", Delay, 8, increment, library=self.library)
            m.d.comb += delay.i.eq(link)
            link = delay.o
        m.d.comb += self.o.eq(link)
        return m


class Grid(wiring.Component):
    """Two equal rows and a different one, in a clock domain that `clear` resets."""

    def __init__(self, library: Library | None = None):
        self.library = library
        super().__init__({"i": In(8), "clear": In(1), "o": Out(8)})

    def elaborate(self, platform):
        m = Module()
        m.domains.rows = ClockDomain()
        m.d.comb += [
            ClockSignal("rows").eq(ClockSignal()),
            ResetSignal("rows").eq(ResetSignal() | self.clear),
        ]
        inner = Module()
        link = self.i
        for n, increments in enumerate([(1, 2), (1, 2), (2, 2, 5)]):
            row = instantiate(inner, f"row_{n}", Row, increments, library=self.library)
            inner.d.comb += row.i.eq(link)
            link = row.o
        m.submodules.rows = DomainRenamer("rows")(inner)
        m.d.comb += self.o.eq(link)
        return m


def modules(text: str) -> list[str]:
    return re.findall(r"^module (\S+)\s?\(", text, re.M)


def test_equal_components_are_converted_once():
    library = Library()
    text = convert(Grid(library), "grid", library)
    shared = [name for name in modules(text) if "." not in name]
    assert sorted(shared) == ["Delay", "Delay_1", "Delay_2", "Row", "Row_1", "grid"]
    assert len(re.findall(r"^  Row row_", text, re.M)) == 2
    assert len(re.findall(r"^  Row_1 row_", text, re.M)) == 1


def test_without_a_library_the_text_is_the_same_design_flat():
    text = convert(Grid(), "grid")
    assert modules(text)[0] == "grid"
    assert sum(name.startswith("\\grid.rows.row_") for name in modules(text)) == 3 + 2 + 2 + 3


def test_conversion_is_reproducible():
    texts = []
    for _ in range(2):
        library = Library()
        texts.append(convert(Grid(library), "grid", library))
    assert texts[0] == texts[1]


def stimulus(cycles: int) -> list[tuple[int, int]]:
    random.seed(3)
    return [(random.getrandbits(8), random.random() < 0.1) for _ in range(cycles)]


def expected(inputs) -> list[int]:
    """Seven registers of 8 bits, cleared together; what `o` shows before each clock edge."""
    increments = (1, 2, 1, 2, 2, 2, 5)
    state = [0] * len(increments)
    outputs = []
    for value, clear in inputs:
        outputs.append(state[-1])
        before = [value, *state[:-1]]
        state = [0 if clear else (b + n) & 255 for b, n in zip(before, increments, strict=True)]
    return outputs


def test_behaviour_in_amaranth():
    dut = Grid()
    inputs = stimulus(200)
    outputs = []

    async def testbench(ctx):
        for value, clear in inputs:
            ctx.set(dut.i, value)
            ctx.set(dut.clear, clear)
            outputs.append(ctx.get(dut.o))
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
    assert outputs == expected(inputs)


def test_behaviour_in_verilog_with_a_library():
    library = Library()
    simulate(Grid(library), "tests.hw.grid_bench", "grid", library=library)


class Unshareable(wiring.Component):
    def __init__(self, width):
        super().__init__({"o": Out(width)})

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.o.eq(~self.o)
        return m


def test_arguments_must_be_hashable():
    with pytest.raises(TypeError, match="Unshareable cannot be shared: unhashable type: 'list'"):
        Library().add(Unshareable, [3])


def test_names_of_different_classes_do_not_meet():
    class Delay(Unshareable):  # another class of the same name
        def __init__(self):
            super().__init__(2)

    library = Library()
    ours = globals()["Delay"]
    wanted = ((ours, 8, 1), (Delay,), (ours, 8, 1), (ours, 4, 1))
    names = [library.add(*what) for what in wanted]
    assert names == ["Delay", "Delay_1", "Delay", "Delay_2"]
    for component in library.modules.values():
        Fragment.get(component, None)
    assert isinstance(library.modules["Delay_1"].o, Signal)
