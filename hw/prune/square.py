"""Squares of M x M weights, group by group in, line by line out."""

from amaranth import Array, Cat, Module, Mux, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..arith.narrow import BINARY32
from ..config import Config

AHEAD = 2
"""Squares that are held."""
ELEMENT_BITS = 32


def ELEMENT(size: int) -> data.StructLayout:
    """An element of a line of so many, its place there, and whether it is the line's `last`."""
    return data.StructLayout({"value": BINARY32, "index": range(size), "last": 1})


def PIECE(config: Config) -> data.StructLayout:
    """A group of weights, for `part` of the columns: each in a row of its own; and whether with it
    the square is `whole`."""
    parts = ELEMENT_BITS // config.format.bits
    return data.StructLayout(
        {
            "rows": data.ArrayLayout(range(config.group), config.group // parts),
            "part": range(parts),
            "data": 8 * config.group_bytes,
            "whole": 1,
        }
    )


class Square(wiring.Component):
    """Hold two squares, and let their elements leave column by column, or row by row. Of squares
    that are `held` those alone leave that have come, but of each line one at least: it is zero if
    none has.

    Latency: 2 cycles from a square's last group to its first element. Throughput: a group and an
    element a cycle. Stall rule: takes all groups of a square that was `begun` without delay. Of
    those that go to one place the last one counts.

    Members
    -------
    held : In(1), the same while any square is here
    begun : In(1), groups of one more square will come; only if `free`
    free : Out(1)
    i : In({valid, piece}), never refused
    o : Out stream of ELEMENT
    """

    def __init__(self, config: Config, by_rows: bool):
        self.config, self.by_rows = config, by_rows
        self._left = Signal()
        """A square's last element leaves."""
        super().__init__(
            {
                "held": In(1),
                "begun": In(1),
                "free": Out(1, init=1),
                "i": In(wiring.Signature({"valid": Out(1), "piece": Out(PIECE(config))})),
                "o": Out(stream.Signature(ELEMENT(config.group))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        size, piece = self.config.group, self.i.piece
        each = 8 * self.config.group_bytes // ELEMENT_BITS
        taken, full = Signal(range(AHEAD + 1)), Signal(range(AHEAD + 1))
        """Squares that have begun to come, and that have come; both until they have left."""
        into, out = Signal(), Signal()
        """Which of the two is written, and read."""
        line, place, gone = Signal(range(size)), Signal(range(size)), Signal(size)
        """What leaves, and which elements of the line have left."""
        row, column = (line, place) if self.by_rows else (place, line)
        written = self.i.valid & piece.whole
        goes = (full != 0) & (~self.o.valid | self.o.ready)
        there = self._there(m, into, out, line)
        waiting = there & ~gone
        last = (waiting & (waiting - 1)) == 0
        leaves = self._left
        m.d.comb += leaves.eq(goes & last & (line == size - 1))
        # Of several the lowest: a later assignment counts.
        for n in reversed(range(size)):
            with m.If(waiting[n]):
                m.d.comb += place.eq(n)
        m.d.comb += self.free.eq(taken != AHEAD)
        m.d.sync += [
            taken.eq(taken + self.begun - leaves),
            full.eq(full + written - leaves),
            into.eq(into ^ written),
            out.eq(out ^ leaves),
        ]
        found = []
        for n in range(each):
            bank = memory.Memory(shape=ELEMENT_BITS, depth=AHEAD * size * size // each, init=[])
            m.submodules[f"bank_{n}"] = bank
            write, read = bank.write_port(), bank.read_port(domain="comb")
            m.d.comb += [
                write.en.eq(self.i.valid),
                write.addr.eq(Cat(piece.part, piece.rows[n], into)),
                write.data.eq(piece.data.word_select(n, ELEMENT_BITS)),
                read.addr.eq(Cat(column[each.bit_length() - 1 :], row, out)),
            ]
            found.append(read.data)
        element = Signal(ELEMENT(size))
        m.d.comb += [element.index.eq(place), element.last.eq(last)]
        with m.If(there.any()), m.Switch(column[: each.bit_length() - 1]):
            for n, data_out in enumerate(found):
                with m.Case(n):
                    m.d.comb += element.value.eq(data_out)
        with m.If(~self.o.valid | self.o.ready):
            m.d.sync += [self.o.valid.eq(goes), self.o.payload.eq(element)]
        with m.If(goes):
            m.d.sync += gone.eq(Mux(last, 0, gone | (1 << place)))
            with m.If(last):
                m.d.sync += line.eq(Mux(line == size - 1, 0, line + 1))
        return m

    def _there(self, m: Module, into, out, line):
        """Which elements of the line that leaves have come."""
        size, piece = self.config.group, self.i.piece
        each, parts = len(piece.rows), size // len(piece.rows)
        squares = []
        for square in range(AHEAD):
            lines = [Signal(size, name=f"came_{square}_{n}") for n in range(size)]
            for row in range(size):
                for column in range(size):
                    part, n = divmod(column, each)
                    mine, other = (row, column) if self.by_rows else (column, row)
                    here = (piece.rows[n] == row) & ((piece.part == part) | (parts == 1))
                    with m.If(self.i.valid & (into == square) & here):
                        m.d.sync += lines[mine][other].eq(1)
            leaves = (out == square) & self._left
            with m.If(leaves):
                m.d.sync += [each_line.eq(0) for each_line in lines]
            squares.append(Array(lines)[line])
        return Mux(self.held, Mux(out, squares[1], squares[0]), (1 << size) - 1)
