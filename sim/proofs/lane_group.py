"""LaneGroup: every sum that comes is in its row's place, once, and no buffer overflows."""

from amaranth import Array, Module, Signal
from amaranth.hdl import Assert, Assume, Cover
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from ...hw.config import Config
from ...hw.lib.pipeline import delay
from ...hw.output.epilogue import Epilogue
from ...hw.output.lane_group import LaneGroup
from .claims import constant, ends_within

LATENCY = 1
"""Of what stands for the epilogue."""
ROOM = 2
DEPTH = 4
"""Little room, so that few cycles fill it."""
SUM_BITS = 2
"""Sums are only handed on, so that few different ones tell as much as many."""
SILENCE = 11
"""Cycles without another whole row while one's sums are there, and room for it."""


class PlainEpilogue(Epilogue):
    """In the place of the epilogue, whose arithmetic is not what is proven: sums as they are."""

    def elaborate(self, platform):
        m = Module()
        m.d.comb += [
            self.o.valid.eq(delay(m, "valid", self.i.valid, LATENCY)),
            self.o.data.eq(delay(m, "sum", self.i.sum, LATENCY)),
        ]
        return m


class LaneGroupProof(wiring.Component):
    """Any sums at any time that the issuer's promise allows; rows taken at any time.

    The sum of one column and row is followed, `chosen`. `results` is the group's room for rows.
    """

    def __init__(self, config: Config, results: int):
        self.config = config
        self.results = results
        columns = config.columns_per_epilogue
        super().__init__(
            {
                "valid": In(columns),
                "sums": In(SUM_BITS).array(columns),
                "end": In(1),
                "row_taken": In(1),
                "chosen_column": In(range(columns)),
                "chosen_row": In(3),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        columns = config.columns_per_epilogue
        m.submodules.group = group = LaneGroup(config, PlainEpilogue, ROOM, DEPTH)
        constant(m, self.chosen_column, self.chosen_row)

        # Rows of which sums have come, by columns; rows that are whole, and that were taken.
        came = Array(Signal(4, name=f"came_{c}") for c in range(columns))
        there, taken = Signal(4), Signal(4)
        value = Signal(SUM_BITS)
        ends, ends_taken = Signal(4), Signal(4)
        for c in range(columns):
            valid, row = self.valid[c], group.rows[c]
            m.d.comb += [
                row.valid.eq(valid),
                row.end.eq(self.end),
                group.sums[c].eq(self.sums[c]),
                # What `sim.proofs.issuer` proves, and the array's order.
                Assume(~valid | (came[c] - taken < DEPTH)),
                Assume(~valid | (came[c] < 5)),
                Assume(came[c] <= came[max(0, c - 1)]),
                Assert(there <= came[c]),
            ]
            m.d.sync += came[c].eq(came[c] + valid)
            with m.If(valid & (self.chosen_column == c) & (came[c] == self.chosen_row)):
                m.d.sync += value.eq(self.sums[c])
        m.d.comb += [
            group.row_taken.eq(self.row_taken),
            Assume(~self.row_taken | (taken != there)),
            Assert(there - taken <= self.results),
        ]
        m.d.sync += [
            there.eq(there + group.row_there),
            taken.eq(taken + self.row_taken),
            # An end comes with a row's first sum, and is told of after the row's last one.
            ends.eq(ends + (self.valid[0] & self.end)),
            ends_taken.eq(ends_taken + group.release.valid),
        ]
        shown = Array(group.row)[self.chosen_column]
        with m.If((taken != there) & (taken == self.chosen_row)):
            m.d.comb += [
                Assert(shown == value),
                Cover(self.chosen_row == 3),
            ]
        last = came[columns - 1]
        m.d.comb += [
            Assert(ends_taken <= ends),
            Assert((there != last) | (ends_taken == ends) | (came[0] != last)),
            Cover((ends_taken == 2) & (there == 3)),
            Cover((there - taken == self.results) & (last - taken > self.results)),
        ]
        # No deadlock.
        wanted = (there != last) & (there - taken < self.results)
        ends_within(m, wanted & ~group.row_there, SILENCE)
        return m
