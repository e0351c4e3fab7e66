"""Squares of M x M weights, group by group in, line by line out."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..arith.narrow import BINARY32
from ..config import Config

AHEAD = 2
"""Squares that are held."""
ELEMENT_BITS = 32


ELEMENT = data.StructLayout({"value": BINARY32, "kept": 1})
"""A weight, and whether it has its place already: then it comes before all that have none."""


def PIECE(config: Config) -> data.StructLayout:
    """A group of weights, for `part` of the columns: each in a row of its own; and whether with it
    the square is `whole`."""
    parts = ELEMENT_BITS // config.format.bits
    return data.StructLayout(
        {
            "rows": data.ArrayLayout(range(config.group), config.group // parts),
            "part": range(parts),
            "data": 8 * config.group_bytes,
            "kept": 1,
            "whole": 1,
        }
    )


class Square(wiring.Component):
    """Hold two squares, and let their elements leave column by column, or row by row.

    Latency: 2 cycles from a square's last group to its first element. Throughput: a group and an
    element a cycle. Stall rule: takes all groups of a square that was `begun` without delay. Of
    those that go to one place the last one counts.

    Members
    -------
    begun : In(1), groups of one more square will come; only if `free`
    free : Out(1)
    i : In({valid, piece}), never refused
    o : Out stream of ELEMENT
    """

    def __init__(self, config: Config, by_rows: bool):
        self.config, self.by_rows = config, by_rows
        super().__init__(
            {
                "begun": In(1),
                "free": Out(1, init=1),
                "i": In(wiring.Signature({"valid": Out(1), "piece": Out(PIECE(config))})),
                "o": Out(stream.Signature(ELEMENT)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        size, piece = self.config.group, self.i.piece
        each = 8 * self.config.group_bytes // ELEMENT_BITS
        parts = size // each
        taken, full = Signal(range(AHEAD + 1)), Signal(range(AHEAD + 1))
        """Squares that have begun to come, and that have come; both until they have left."""
        into, out = Signal(), Signal()
        """Which of the two is written, and read."""
        line, place = Signal(range(size)), Signal(range(size))
        row, column = (line, place) if self.by_rows else (place, line)
        written = self.i.valid & piece.whole
        goes = (full != 0) & (~self.o.valid | self.o.ready)
        last = place == size - 1
        leaves = goes & last & (line == size - 1)
        m.d.comb += self.free.eq(taken != AHEAD)
        m.d.sync += [
            taken.eq(taken + self.begun - leaves),
            full.eq(full + written - leaves),
            into.eq(into ^ written),
            out.eq(out ^ leaves),
        ]
        found = []
        for n in range(each):
            bank = memory.Memory(shape=ELEMENT, depth=AHEAD * size * parts, init=[])
            m.submodules[f"bank_{n}"] = bank
            write, read = bank.write_port(), bank.read_port(domain="comb")
            m.d.comb += [
                write.en.eq(self.i.valid),
                write.addr.eq(Cat(piece.part, piece.rows[n], into)),
                write.data.value.eq(piece.data.word_select(n, ELEMENT_BITS)),
                write.data.kept.eq(piece.kept),
                read.addr.eq(Cat(column[each.bit_length() - 1 :], row, out)),
            ]
            found.append(read.data)
        element = Signal(ELEMENT)
        with m.Switch(column[: each.bit_length() - 1]):
            for n, data_out in enumerate(found):
                with m.Case(n):
                    m.d.comb += element.eq(data_out)
        with m.If(~self.o.valid | self.o.ready):
            m.d.sync += [self.o.valid.eq(goes), self.o.payload.eq(element)]
        with m.If(goes):
            m.d.sync += place.eq(Mux(last, 0, place + 1))
            with m.If(last):
                m.d.sync += line.eq(Mux(line == size - 1, 0, line + 1))
        return m
