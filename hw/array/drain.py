"""When finished sums leave the array, and what their tile wanted done with them."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..layouts.array import DRAINED, FINISH, MODE
from ..lib.pipeline import delay


class DrainControl(wiring.Component):
    """Marks the rows that drain from each column, from the moment their tile's end was issued.

    The array never stalls, so a tile's rows come a fixed `delay` after its last round was
    issued: a token waits that long, then opens a window of R·T cycles at column 0; column c
    sees the same c cycles later.

    Members
    -------
    finish : In(layouts.FINISH), the issuer's token
    columns : C x Out(layouts.DRAINED), a row of this column's sums is there
    """

    def __init__(self, config: Config, delay: int):
        self.config = config
        self.delay = delay
        super().__init__(
            {
                "finish": In(FINISH(config)),
                "columns": Out(DRAINED(config)).array(config.columns),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        token = Signal(data.StructLayout({"valid": 1, "mode": MODE(config), "end": 1}))
        m.d.comb += [
            token.valid.eq(self.finish.valid),
            token.mode.eq(self.finish.mode),
            token.end.eq(self.finish.end),
        ]
        token = delay(m, "token", token, self.delay)

        left = Signal(range(config.tile_rows + 1))
        context = Signal(range(config.interleave))
        mode = Signal(MODE(config))
        end = Signal()
        row = Signal(
            data.StructLayout(
                {"valid": 1, "mode": MODE(config), "context": range(config.interleave), "end": 1}
            )
        )
        m.d.comb += [
            row.valid.eq(token.valid | (left != 0)),
            row.mode.eq(Mux(token.valid, token.mode, mode)),
            row.context.eq(Mux(token.valid, 0, context)),
        ]
        if config.tile_rows == 1:
            m.d.comb += row.end.eq(token.valid & token.end)
        else:
            m.d.comb += row.end.eq((left == 1) & end)
        with m.If(token.valid):
            m.d.sync += [
                left.eq(config.tile_rows - 1),
                mode.eq(token.mode),
                end.eq(token.end),
                context.eq(1 if config.interleave > 1 else 0),
            ]
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
            if config.interleave > 1:
                m.d.sync += context.eq(Mux(context == config.interleave - 1, 0, context + 1))

        for c, column in enumerate(self.columns):
            m.d.comb += [
                column.valid.eq(row.valid),
                column.mode.eq(row.mode),
                column.context.eq(row.context),
                column.end.eq(row.end),
            ]
            row = delay(m, f"row_{c}", row, 1)
        return m
