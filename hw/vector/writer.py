"""The writer: a strip's results into tensor memory.

V results a beat ─► [queue] ─► [span] ─► a group a cycle ─► write port
"""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..isa.vector import BEATS
from ..layouts.tensor import WRITE_PORT
from ..lib.fifo import Fifo
from .addresses import GROUP, SIZES
from .pieces import parts

PARTS = "filled", "needed", "written", "free"
"""Beats of a span: that are there, that a group needs, that it has the last of, and that goes."""


def RESULTS(config: Config) -> data.StructLayout:
    """A beat of results, already as the stream's elements; and what is wrong with one of them."""
    return data.StructLayout(
        {
            "words": data.ArrayLayout(32, config.vector_lanes),
            "overflow": 1,
            "saturated": 1,
        }
    )


class Writer(wiring.Component):
    """Take a register's beats, and write those spans that there are.

    Latency: 3 cycles from a span's last beat to its first group. Throughput: a beat a cycle until
    all have come; a group a cycle. Stall rule: takes all beats of a strip without delay; writes
    while it has the `grant`.

    Members
    -------
    size : In(2), with `start`, log2 of the elements' bytes
    start : In(1), a strip begins; only if not `busy`
    i : In({valid, beat}), never refused
    groups : In stream of addresses.GROUP
    grant : In(1), nobody else writes in this cycle
    port : Out(layouts.WRITE_PORT)
    busy : Out(1), not all that the strip has was written
    held : Out(1), a group waits for `grant`
    outside : Out(1), a group is not inside the stream's words: it is dropped
    overflow, saturated : Out(1), so was an element that was written
    """

    def __init__(self, config: Config):
        self.config = config
        # As deep as a strip, and as wide as all lanes: no block RAM has that shape.
        self.queue = Fifo(RESULTS(config), BEATS, block_ram=1 << 16)
        super().__init__(
            {
                "size": In(range(SIZES)),
                "start": In(1),
                "i": In(wiring.Signature({"valid": Out(1), "beat": Out(RESULTS(config))})),
                "groups": In(stream.Signature(GROUP(config))),
                "grant": In(1),
                "port": Out(WRITE_PORT(config)),
                "busy": Out(1),
                "held": Out(1),
                "outside": Out(1),
                "overflow": Out(1),
                "saturated": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.queue = queue = self.queue
        config, groups, port = self.config, self.groups, self.port
        width, beats = config.vector_lanes, config.group // config.vector_lanes
        size, units = 8 * config.group_bytes, config.group_bytes // config.write_bytes
        slots = 32 * config.group // size
        held, over = Signal(32 * config.group, reset_less=True), Signal()
        filled, needed, written, free = (Signal(beats, name=n) for n in PARTS)
        lost = [Signal(beats, name=n, reset_less=True) for n in ("overflows", "saturates")]
        slot, beat = Signal(range(slots)), Signal(range(beats))
        left = Signal(range(BEATS + 1))
        group, whole, goes, last = groups.payload, Signal(), Signal(), Signal()
        log2 = Signal.like(self.size)
        came = queue.o.valid & queue.o.ready
        m.d.comb += [
            queue.i.valid.eq(self.i.valid),
            queue.i.payload.eq(self.i.beat),
            # Beats beyond the last span are taken and forgotten.
            queue.o.ready.eq(over | (~filled | free).bit_select(beat, 1)),
            self.busy.eq((left != 0) | filled.any()),
            whole.eq((filled & needed) == needed),
            goes.eq(groups.valid & whole & (self.grant | ~group.inside)),
            groups.ready.eq(goes),
            free.eq(Mux(goes, written, 0)),
            self.held.eq(groups.valid & whole & ~goes),
            last.eq(goes & group.last & group.end),
            self.outside.eq(goes & ~group.inside),
            *(address.eq(group.address) for address in port.address),
            self.overflow.eq((free & lost[0]).any()),
            self.saturated.eq((free & lost[1]).any()),
        ]
        with m.If(goes):
            m.d.sync += slot.eq(Mux(group.last, 0, slot + 1))
        m.d.sync += filled.eq(Mux(last | over, 0, (filled & ~free) | (came << beat)))
        with m.If(last):
            m.d.sync += over.eq(1)
        with m.If(came):
            result = queue.o.payload
            m.d.sync += [
                held.word_select(beat, 32 * width).eq(result.words),
                lost[0].bit_select(beat, 1).eq(result.overflow),
                lost[1].bit_select(beat, 1).eq(result.saturated),
                beat.eq(Mux(beat == beats - 1, 0, beat + 1)),
                left.eq(left - 1),
            ]
        with m.If(self.start):
            m.d.sync += [left.eq(BEATS), over.eq(0), log2.eq(self.size)]
        span = Signal(len(held))
        with m.Switch(log2):
            for size_log2 in range(SIZES):
                bits = 8 << size_log2
                elements = (held.word_select(n, 32)[:bits] for n in range(config.group))
                with m.Case(size_log2):
                    # A group is made of so many words, and a span of so many groups.
                    words, groups_of = size // bits, bits * config.group // size
                    parts(m, slot, groups_of, 32 * words, 32 * width, needed, written)
                    m.d.comb += span.eq(Cat(elements))
        content = span.word_select(slot, size)
        for lane in range(config.lanes):
            writes = goes & group.inside & (group.lane == lane)
            m.d.comb += [
                port.data.word_select(lane, size).eq(content),
                port.enable.word_select(lane, units).eq(writes.replicate(units)),
            ]
        return m
