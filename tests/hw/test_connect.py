"""Interfaces that do not mean the same cannot be joined."""

import pytest
from amaranth import Module, signed
from amaranth.hdl import Fragment
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from heddle.hw.lib.connect import connect_checked, connect_ports


def interfaces(given, taken):
    """A source and a sink, each with one member `a` of the given shape, and an equal one."""
    source = wiring.Signature({"a": Out(given), "b": Out(3)}).create(path=("source",))
    sink = wiring.Signature({"a": In(taken), "b": In(3)}).create(path=("sink",))
    return source, sink


@pytest.mark.parametrize(
    "given, taken",
    [
        (signed(8), 8),
        (8, signed(8)),
        (8, 7),
        (data.StructLayout({"x": 4, "y": 4}), 8),
        (data.StructLayout({"x": 4, "y": 4}), data.StructLayout({"y": 4, "x": 4})),
        (data.ArrayLayout(4, 2), data.StructLayout({"x": 4, "y": 4})),
    ],
    ids=str,
)
def test_members_of_other_shapes(given, taken):
    with pytest.raises(TypeError, match="cannot connect .*a"):
        connect_checked(None, *interfaces(given, taken))


def test_members_of_other_names():
    source = wiring.Signature({"a": Out(1)}).create(path=("source",))
    sink = wiring.Signature({"c": In(1)}).create(path=("sink",))
    with pytest.raises(TypeError, match="cannot connect"):
        connect_checked(None, source, sink)


@pytest.mark.parametrize("shape", [signed(8), data.StructLayout({"x": 4, "y": 4})], ids=str)
def test_equal_ones_are_joined(shape):
    m = Module()
    connect_checked(m, *interfaces(shape, shape))
    Fragment.get(m, None)


def test_a_part_of_a_bus_is_joined_both_ways():
    half = {"valid": Out(1), "data": Out(4), "ready": In(1)}
    outer = wiring.Signature(half | {"other": Out(1)}).create(path=("outer",))
    inner = wiring.Signature(half).create(path=("inner",))
    m = Module()
    connect_ports(m, outer, inner)

    async def check(ctx):
        for value in (0b1010, 0b0101):
            ctx.set(inner.data, value)
            ctx.set(inner.valid, value & 1)
            ctx.set(outer.ready, ~value & 1)
            ctx.set(outer.other, 1)
            await ctx.delay(1e-6)
            assert ctx.get(outer.data) == value and ctx.get(outer.valid) == value & 1
            assert ctx.get(inner.ready) == ~value & 1

    simulator = Simulator(m)
    simulator.add_testbench(check)
    simulator.run()
