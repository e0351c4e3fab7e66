"""Interfaces that do not mean the same cannot be joined."""

import pytest
from amaranth import Module, signed
from amaranth.hdl import Fragment
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from heddle.hw.layouts import connect_checked


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
