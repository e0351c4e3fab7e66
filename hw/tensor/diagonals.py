"""Rows that have a group of one pixel after another: which groups of a window are read together.

A window has a pixel for each lane, and each row wants a group of its own of every pixel. A bank
takes one group in a cycle, and a lane of the memory gives one. So what is read in a cycle is a
diagonal: row i of a chunk of rows gets its group of pixel i + turn.
"""

from amaranth import Array, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..layouts.tensor import PIXEL, TAP


class Diagonals(wiring.Component):
    """Learn the taps of R groups, then pair them with the pixels of one window after another.

    Latency: R cycles of `go` from `begin` to the first window, none from then on. Throughput: a
    window in R cycles of `go`, a group of each lane in each. Stall rule: moves with `go` alone.

    Members
    -------
    begin : In(1), before a ROWS' first window: other taps are to be learnt
    go : In(1), what is at hand is done
    tap : In(TAP), while it is `learning`, one group after another
    pixels : In, of the window
    rows : In(8), rows that are there, the first ones
    learning : Out(1)
    last : Out(1), of the taps that are learnt, or of a window's
    taps, turned : Out, a group for each lane, and the pixels that they are of
    chunk, turn : Out, which rows they go to, as many as there are lanes; which diagonal it is
    """

    def __init__(self, config: Config):
        self.config = config
        pixels = data.ArrayLayout(PIXEL(config), config.lanes)
        super().__init__(
            {
                "begin": In(1),
                "go": In(1),
                "tap": In(TAP(config)),
                "pixels": In(pixels),
                "rows": In(8),
                "learning": Out(1),
                "last": Out(1),
                "taps": Out(data.ArrayLayout(TAP(config), config.lanes)),
                "turned": Out(pixels),
                "chunk": Out(8),
                "turn": Out(range(config.lanes)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        rows, lanes = self.config.rows, self.config.lanes
        learnt = Signal(data.ArrayLayout(TAP(self.config), rows), reset_less=True)
        number = Signal(range(rows))
        m.d.comb += [
            self.last.eq(number == rows - 1),
            self.turn.eq(number[: len(self.turn)]),
            self.chunk.eq(number[len(self.turn) :]),
        ]
        with m.If(self.go):
            m.d.sync += number.eq(Mux(self.last, 0, number + 1))
            with m.If(self.last):
                m.d.sync += self.learning.eq(0)
        with m.If(self.begin):
            m.d.sync += self.learning.eq(1)
        with m.If(self.learning), m.Switch(number):
            for row in range(rows):
                with m.Case(row):
                    m.d.sync += learnt[row].eq(self.tap)
        for lane in range(lanes):
            mine = Array(learnt[first + lane] for first in range(0, rows, lanes))
            others = Array(self.pixels[(lane + turn) % lanes] for turn in range(lanes))
            m.d.comb += [
                self.taps[lane].eq(mine[self.chunk]),
                self.taps[lane].there.eq(self.chunk * lanes + lane < self.rows),
                self.turned[lane].eq(others[self.turn]),
            ]
        return m
