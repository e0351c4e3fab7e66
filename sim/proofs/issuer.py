"""Issuer: a tile ends only when its rows have somewhere to go, and every record is issued whole."""

from amaranth import Module, Mux, Signal
from amaranth.hdl import Assert, Assume, Cover
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from ...hw.config import Config
from ...hw.control.issuer import Issuer
from ...hw.layouts.array import RECORD
from .claims import ends_within, stays


class IssuerProof(wiring.Component):
    """Any records, with any pauses, and rows taken at any time, but only rows that are there.

    `whole` also follows each record from its first slot to its last, for bounded proofs.
    """

    def __init__(self, config: Config, whole: bool):
        self.config = config
        self.whole = whole
        super().__init__({"valid": In(1), "record": In(RECORD(config)), "row_taken": In(1)})

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.issuer = issuer = Issuer(config)
        m.d.comb += [
            issuer.records.valid.eq(self.valid),
            issuer.records.payload.eq(self.record),
            issuer.row_taken.eq(self.row_taken),
        ]

        # Rows that the output buffers may hold, and cycles since the last tile's end.
        rows, since = Signal(16), Signal(range(config.tile_rows + 1), init=config.tile_rows)
        finish = issuer.finish.valid
        m.d.sync += [
            rows.eq(rows + Mux(finish, config.tile_rows, 0) - self.row_taken),
            since.eq(Mux(finish, 1, Mux(since == config.tile_rows, since, since + 1))),
        ]
        m.d.comb += [
            Assume(~self.row_taken | (rows != 0)),
            Assert(rows <= config.output_depth),
            Assert(
                issuer.room
                == config.output_depth
                - config.tile_rows
                - rows
                + Mux(issuer.finished, config.tile_rows, 0)
            ),
            Assert(issuer.finished == (since == 1)),
            Assert(issuer.finished | (issuer.drain == config.tile_rows - since)),
            Assert(~finish | (since == config.tile_rows)),
            Assert(~(issuer.stall_drain & issuer.stall_output)),
            Cover(issuer.stall_drain),
            Cover(finish & (since == config.tile_rows) & (rows == config.tile_rows)),
        ]
        if self.whole:
            self._records(m, issuer)
        return m

    def _records(self, m: Module, issuer: Issuer):
        """A record waits unchanged until it is taken; then all its slots have been issued."""
        config = self.config
        taken = issuer.records.valid & issuer.records.ready
        stays(m, self.valid, issuer.records.ready, self.record, claim=Assume)
        slots, loads = Signal(16), Signal(16)
        slots_now, loads_now = slots + issuer.valid, loads + issuer.load
        m.d.sync += [
            slots.eq(Mux(taken, 0, slots_now)),
            loads.eq(Mux(taken, 0, loads_now)),
        ]
        record = self.record
        slots_of_record = Mux(record.empty, 0, (record.more_rounds + 1) * config.interleave)
        free = ~record.mode.finish | ((issuer.drain == 0) & ~issuer.finished & (issuer.room >= 0))
        # No deadlock: what need not wait begins within a turn of the contexts and the flush.
        ends_within(m, self.valid & free & ~issuer.valid & ~taken, 2 * config.interleave)
        m.d.comb += [
            Assume(record.more_rounds < config.group),
            Assume(~record.empty | (record.more_rounds == 0)),
            Assert(~issuer.valid | self.valid),
            Assert(~taken | (slots_now == slots_of_record)),
            # One read of the activations for each record, the empty last one of a tile included.
            Assert(~taken | (loads_now == 1)),
            Assert(issuer.end == (taken & record.end)),
            Cover(taken & (record.more_rounds == 1) & record.end & record.mode.finish),
        ]
