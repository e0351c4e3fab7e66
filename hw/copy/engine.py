"""The copy engine: COPYs, and the host's reads and writes of external memory, one after another.

copies ─► CopyRows ─┬─ spans ─► Cutter ─┬─► reads; came ─► Inward ─┬─► tensor memory
                    └─ rows ────────────┼────────────────────┘     └─► host
                                        └─► writes; goes ◄─ Outward ◄─ tensor memory, host
"""

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..bus.bursts import WRITE_BEAT, Cutter
from ..config import Config
from ..layouts.engines import COPY
from ..layouts.stream import beat
from ..layouts.tensor import READ_PORT, WRITE_PORT
from ..lib.connect import connect_checked
from ..lib.fifo import Fifo
from .inward import Inward
from .outward import Outward
from .port import TRAFFIC, limits_of
from .rows import COPY_ROW, CopyRows

ROWS_AHEAD = 128
"""Rows that are asked for ahead, each of a beat at least."""
COPIES_AHEAD = 7
"""COPYs that are not finished while another one begins."""


class CopyEngine(wiring.Component):
    """Copy rows between external memory, and tensor memory or the host.

    Latency: from a COPY to its first request 7 cycles. Throughput: a beat a cycle of rows of whole
    words, a group a cycle of rows that are dealt to lanes (`Inward` and `Outward` say what a row
    costs beyond that), also from one COPY to the next of the same direction; one of the other
    direction begins when all before it have been finished. Stall rule: waits for external memory,
    for tensor memory's ports, and for the host in its own words; external memory waits for nothing
    but, with a WRITE's data, for the host.

    Members
    -------
    copies : In stream of layouts.COPY
    reads : Out(layouts.READ_PORT)
    writes : Out(layouts.WRITE_PORT), none while `granted`, In(1), is not
    given : In stream of WRITE_BEAT, words of the host's WRITEs
    taken : Out stream of layouts.beat, words for the host's READs
    waits_inside, waits_outside : Out(1), what is begun waits for tensor memory, or for external
        memory: for a beat, to be rid of one, or for the last to be acknowledged
    finished : Out(1), pulses with the last word that is written, or acknowledged
    fault : Out(1), pulses: external memory answered with an error, or a row is outside
    traffic : Out(port.TRAFFIC), external memory
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "copies": In(stream.Signature(COPY(config))),
                "reads": Out(READ_PORT(config)),
                "writes": Out(WRITE_PORT(config)),
                "granted": In(1),
                "given": In(stream.Signature(WRITE_BEAT(config))),
                "taken": Out(stream.Signature(beat(config))),
                "waits_inside": Out(1),
                "waits_outside": Out(1),
                "finished": Out(1),
                "fault": Out(1),
                "traffic": Out(TRAFFIC(config)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, traffic = self.config, self.traffic
        m.submodules.rows = rows = CopyRows(config)
        m.submodules.cutter = cutter = Cutter(config, limits_of(config))
        m.submodules.ahead = ahead = Fifo(COPY_ROW(config), ROWS_AHEAD)
        m.submodules.inward = inward = Inward(config)
        m.submodules.outward = outward = Outward(config)
        connect_checked(m, ahead.o, inward.rows)
        connect_checked(m, wiring.flipped(traffic.came), inward.beats)
        connect_checked(m, outward.beats, wiring.flipped(traffic.goes))
        connect_checked(m, inward.port, wiring.flipped(self.writes))
        connect_checked(m, outward.port, wiring.flipped(self.reads))
        connect_checked(m, inward.host, wiring.flipped(self.taken))
        connect_checked(m, wiring.flipped(self.given), outward.host)

        # What goes one way must have been finished before anything goes the other.
        outwards, open_ = Signal(), Signal(range(COPIES_AHEAD + 1))
        turns = self.copies.payload.outward != outwards
        free = (open_ == 0) | (~turns & (open_ != COPIES_AHEAD))
        begun = self.copies.valid & self.copies.ready
        m.d.comb += [
            rows.copies.valid.eq(self.copies.valid & free),
            rows.copies.payload.eq(self.copies.payload),
            self.copies.ready.eq(rows.copies.ready & free),
            inward.granted.eq(self.granted),
        ]
        m.d.sync += open_.eq(open_ + begun - self.finished)
        with m.If(begun):
            m.d.sync += outwards.eq(self.copies.payload.outward)

        # A row goes to who asks for its beats and to who moves its bytes, in one cycle.
        row, span = rows.rows.payload, cutter.spans.payload
        shift = config.stream_bytes.bit_length() - 1
        moves = Mux(outwards, outward.rows.ready, ahead.i.ready)
        m.d.comb += [
            rows.rows.ready.eq(cutter.spans.ready & moves),
            cutter.spans.valid.eq(rows.rows.valid & moves),
            ahead.i.valid.eq(rows.rows.valid & cutter.spans.ready & ~outwards),
            ahead.i.payload.eq(row),
            outward.rows.valid.eq(rows.rows.valid & cutter.spans.ready & outwards),
            outward.rows.payload.eq(row),
            span.address.eq(row.address >> shift << shift),
            span.beats.eq(
                (row.address[:shift] + row.row_bytes + (config.stream_bytes - 1)) >> shift
            ),
            span.end.eq(row.end),
        ]
        m.d.comb += [
            traffic.reads.payload.eq(cutter.bursts.payload),
            traffic.reads.valid.eq(cutter.bursts.valid & ~outwards),
            traffic.writes.payload.eq(cutter.bursts.payload),
            traffic.writes.valid.eq(cutter.bursts.valid & outwards),
            cutter.bursts.ready.eq(Mux(outwards, traffic.writes.ready, traffic.reads.ready)),
            self.finished.eq(Mux(outwards, traffic.ended, inward.finished)),
        ]
        came, goes = traffic.came, traffic.goes
        m.d.comb += [
            self.waits_inside.eq((self.reads.valid & ~self.reads.ready) | inward.held),
            self.waits_outside.eq(
                (open_ != 0)
                & Mux(
                    outwards,
                    Mux(outward.busy, goes.valid & ~goes.ready, ~rows.rows.valid),
                    came.ready & ~came.valid,
                )
            ),
        ]
        bad = traffic.came.valid & traffic.came.ready & traffic.came.payload.bad
        leaves = rows.rows.valid & rows.rows.ready & row.outside
        m.d.sync += self.fault.eq(bad | leaves | traffic.failed)
        return m
