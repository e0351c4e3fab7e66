"""DrainControl: a tile's rows are marked in every column when they come, as the tile wants it."""

from amaranth import Module, Signal
from amaranth.hdl import Assert, Assume, Cover
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In

from ...hw.array.drain import DrainControl
from ...hw.config import Config
from ...hw.layouts.array import FINISH

DELAY = 2
"""Cycles from a tile's end to its first row."""


class DrainProof(wiring.Component):
    """Any tiles' ends, as far apart as the issuer keeps them (`sim.proofs.issuer`)."""

    def __init__(self, config: Config):
        self.config = config
        self.cycles = DELAY + config.columns + config.tile_rows
        """How long a tile's end may show."""
        self.tile = data.StructLayout(
            {name: member.shape for name, member in FINISH(config).members.items()}
        )
        super().__init__({"finish": In(self.tile)})

    def elaborate(self, platform):
        m = Module()
        rows, turn = self.config.tile_rows, self.config.interleave
        m.submodules.drain = drain = DrainControl(self.config, DELAY)
        m.d.comb += [
            getattr(drain.finish, name).eq(self.finish[name]) for name in self.tile.members
        ]
        # What came so many cycles ago.
        ago = [self.finish]
        for n in range(1, self.cycles):
            ago.append(Signal(self.tile, name=f"ago_{n}"))
            m.d.sync += ago[n].eq(ago[n - 1])
        for before in ago[1:rows]:
            m.d.comb += Assume(~(self.finish.valid & before.valid))
        for c, column in enumerate(drain.columns):
            due = Signal(name=f"due_{c}")
            for row, tile in enumerate(ago[DELAY + c :][:rows]):
                with m.If(tile.valid):
                    m.d.comb += [
                        due.eq(1),
                        Assert(column.mode == tile.mode),
                        Assert(column.context == row % turn),
                        Assert(column.end == (tile.end if row == rows - 1 else 0)),
                    ]
            m.d.comb += Assert(column.valid == due)
        m.d.comb += Cover(drain.columns[-1].end & drain.columns[0].valid)
        return m
