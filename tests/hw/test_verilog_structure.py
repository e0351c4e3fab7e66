"""Designs that differ in names only have one structure; any other difference shows."""

import re

import pytest
from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from heddle.hw.lib.verilog_structure import structure
from heddle.hw.verilog import convert


class Chain(wiring.Component):
    """Two counters, the second counting what the first has overflowed, under names to choose."""

    def __init__(self, *names: str, amount: int = 3, swapped: bool = False, init: int = 0):
        super().__init__({"step": In(4), "limit": In(4), "y": Out(8)})
        self.names, self.amount, self.swapped, self.init = names, amount, swapped, init

    def elaborate(self, platform):
        m = Module()
        first, second, inner = self.names
        a, b = Signal(8, name=first, init=self.init), Signal(8, name=second)
        m.submodules[inner] = part = Adder()
        left, right = (self.limit, self.step) if self.swapped else (self.step, self.limit)
        m.d.comb += [part.a.eq(a), part.b.eq(left), self.y.eq(b)]
        m.d.sync += a.eq(part.y)
        with m.If(a > right):
            m.d.sync += b.eq(b + self.amount)
        return m


class Adder(wiring.Component):
    def __init__(self):
        super().__init__({"a": In(8), "b": In(4), "y": Out(8)})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.y.eq(self.a + self.b)
        return m


def text(*names: str, **options) -> str:
    return convert(Chain(*names, **options), "top")


NAMED = ("first", "second", "inner")


@pytest.mark.parametrize("port", ["zero", "c"])
def test_a_parts_ports_may_change_their_order(port):
    # An instance's connections are sorted by name too.
    here = text(*NAMED)
    at = here.index("inner (")
    instance = here[at : here.index(";", at)]
    connections = sorted(re.findall(r"\.\w+\(.*\)", instance.replace(".a(", f".{port}(")))
    there = here.replace(instance, "inner (\n    " + ",\n    ".join(connections) + "\n  )")
    module = there.index("module \\top.inner (")
    there = there[:module] + re.sub(r"\ba\b", port, there[module:])
    assert here != there and structure(here) == structure(there)


def test_names_and_the_order_that_they_bring_do_not_count():
    # Yosys sorts by name, so parts change their places in the text.
    here, there = text(*NAMED), text("zebra", "ant", "added")
    assert here.index("wire [7:0] first") < here.index("inner (")
    assert here != there and structure(here) == structure(there)


@pytest.mark.parametrize("options", [{"amount": 5}, {"swapped": True}, {"init": 1}])
def test_whatever_else_differs_shows(options):
    assert structure(text(*NAMED)) != structure(text(*NAMED, **options))


@pytest.mark.parametrize(
    "before, after",
    [
        ("step", "stride"),  # a port that a board refers to
        (".b(step)", ".b(limit)"),  # a part wired otherwise
        ("+ ", "- "),  # inside the part
    ],
)
def test_a_change_of_the_text_shows(before, after):
    here = text(*NAMED)
    assert before in here
    assert structure(here) != structure(here.replace(before, after))
