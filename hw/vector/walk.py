"""Where a strip's spans are: rows, lines and images counted, and what a stream's rows are then."""

from amaranth import Module, Mux, Signal, Value
from amaranth.lib import data

from ..isa.vector import AXES

SHAPE = data.StructLayout({"last_span": 16, "last_column": 16, "last_line": 16})
"""Of the last span of a row, the last row of a line, and the last line of an image, their numbers.
"""
STEPS = data.ArrayLayout(16, AXES)
"""How many rows a stream goes on to the next row, line, image."""
PLACE = data.StructLayout({"span": 16, "column": 16, "line": 16, "left": 16})
"""A span: its number in its row, the row's in its line, the line's in its image; and how many rows
are left, this one included."""


def next_place(m: Module, name: str, shape, place) -> tuple[Signal, Signal]:
    """The span after `place`, and which steps lead to it: 0 none, else 1 more than the axis."""
    later, step = Signal(PLACE, name=f"{name}_next"), Signal(range(AXES + 1), name=f"{name}_step")
    m.d.comb += [later.eq(place), later.span.eq(place.span + 1)]
    with m.If(place.span == shape.last_span):
        m.d.comb += [
            later.span.eq(0),
            later.left.eq(place.left - 1),
            later.column.eq(place.column + 1),
            step.eq(1),
        ]
        with m.If(place.column == shape.last_column):
            m.d.comb += [later.column.eq(0), later.line.eq(place.line + 1), step.eq(2)]
            with m.If(place.line == shape.last_line):
                m.d.comb += [later.line.eq(0), step.eq(3)]
    return later, step


def next_row(row, steps, step) -> Value:
    """A stream's row after `row`; rows count modulo 2**16."""
    further = Mux(step == 1, steps[0], Mux(step == 2, steps[1], steps[2]))
    return (row + Mux(step == 0, 0, further))[:16]
