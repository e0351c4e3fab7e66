"""The DMA: every beat once and in its place, by AXI4's rules, and nothing waits for ever."""

from amaranth import Array, Module, Mux, Signal
from amaranth.hdl import Assert, Assume, Cover
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from ...hw.bus import dma
from ...hw.bus.bursts import Limits
from ...hw.config import Config
from ...hw.layouts.stream import beat
from .claims import constant, ends_within, stays

SMALL = Limits(boundary_log2=5, burst=2, read_room=4, writes_ahead=2, address_bits=8, length_bits=8)
"""Short bursts between near boundaries, so that few cycles show all there is."""
BEATS = 5
"""Most of a run, or of a room."""
SILENCE = 6
"""Cycles in which nothing moves though everybody outside is willing."""


def _run_inputs() -> dict[str, wiring.Member]:
    """What begins and ends a run of either half."""
    return {
        "start": In(1),
        "address": In(SMALL.address_bits),
        "beats": In(range(BEATS + 1)),
        "abort": In(1),
    }


def _run(m: Module, proof, half):
    """Connect those, and assume what both halves ask for."""
    m.d.comb += [getattr(half, name).eq(getattr(proof, name)) for name in _run_inputs()]
    m.d.comb += [
        Assume(~proof.start | (~proof.abort & (proof.beats != 0))),
        Assume(proof.address % proof.config.stream_bytes == 0),
        # A run does not wrap around the end of memory.
        Assume(~proof.address[SMALL.boundary_log2 :].all()),
    ]


def check_burst(m: Module, config: Config, half, channel: str, address, left) -> Signal:
    """Assert that an offered burst is as AXI4 and the run want it; returns its beats."""
    request = (f"{channel}{name}" for name in ("valid", "ready", "addr", "len", "size"))
    valid, ready, at, length, size = (getattr(half.m_axi, name) for name in request)
    stays(m, valid, ready, at, length, size)
    beats = Signal(9)
    m.d.comb += beats.eq(length + 1)
    last_byte = Signal(len(at) + 1)
    m.d.comb += last_byte.eq(at + beats * config.stream_bytes - 1)
    with m.If(valid):
        m.d.comb += [
            Assert(at == address),
            Assert(beats <= left),
            Assert(beats <= SMALL.burst),
            Assert(1 << size == config.stream_bytes),
            Assert(at >> SMALL.boundary_log2 == last_byte >> SMALL.boundary_log2),
        ]
    return beats


class ReaderProof(wiring.Component):
    """Any runs, contents, pauses and errors of the memory; any pauses of the stream's taker."""

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                **_run_inputs(),
                "arready": In(1),
                "rvalid": In(1),
                "rdata": In(8 * config.stream_bytes),
                "rresp": In(2),
                "ready": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.reader = reader = dma.Reader(config, SMALL)
        _run(m, self, reader)
        m.d.comb += [
            reader.m_axi.arready.eq(self.arready),
            reader.m_axi.rvalid.eq(self.rvalid),
            reader.m_axi.rdata.eq(self.rdata),
            reader.m_axi.rresp.eq(self.rresp),
            reader.o.ready.eq(self.ready),
            Assume(~self.start | ~reader.busy),
        ]
        asked = reader.m_axi.arvalid & reader.m_axi.arready
        gives = reader.m_axi.rvalid & reader.m_axi.rready
        # What comes goes through a queue, which has a proof of its own.
        there = reader.channel.o
        came = there.valid & there.ready

        # The memory owes beats, and never waits.
        owed = Signal(range(16))
        m.d.comb += [
            Assume(~self.rvalid | (owed != 0)),
            Assert(~self.rvalid | (reader.m_axi.rready & reader.channel.queue.i.ready)),
        ]

        # The run: where the next burst begins, beats to ask for, beats to come, whether it goes on.
        address, to_ask, to_come = Signal(SMALL.address_bits), Signal(8), Signal(8)
        alive = Signal()
        beats = check_burst(m, config, reader, "ar", address, to_ask)
        with m.If(asked):
            m.d.sync += [
                address.eq(address + beats * config.stream_bytes),
                to_ask.eq(to_ask - beats),
            ]
        m.d.sync += owed.eq(owed + Mux(asked, beats, 0) - gives)
        # Its packets: beats still to come of the one that is being read, none before its count.
        left = Signal(32)
        moves = reader.o.valid & self.ready
        bad = there.payload.bad
        passes = came & alive & (left != 0) & ~bad
        m.d.comb += [
            Assert(moves == passes),
            Assert(reader.failed == (came & alive & bad)),
            Assert(~moves | (reader.o.payload.data == there.payload.data)),
            Assert(~moves | (reader.o.payload.last == (left == 1))),
            # A run is over when all of it has come, or when it was ended; nothing is owed then.
            Assert(reader.busy | ((owed == 0) & ~there.valid & ~alive)),
            Cover(moves & reader.o.payload.last & (to_come == 1)),
            Cover(reader.failed & (owed > 2)),
        ]
        with m.If(came & alive):
            m.d.sync += [
                to_come.eq(to_come - 1),
                left.eq(Mux(left == 0, there.payload.data[:32], left - 1)),
            ]
            with m.If(bad | (to_come == 1)):
                m.d.sync += alive.eq(0)
        with m.If(self.abort):
            m.d.sync += alive.eq(0)
        with m.If(self.start):
            m.d.sync += [
                alive.eq(1),
                address.eq(self.address),
                to_ask.eq(self.beats),
                to_come.eq(self.beats),
                left.eq(0),
            ]
        # No deadlock.
        willing = self.arready & (self.rvalid | (owed == 0)) & self.ready
        ends_within(m, reader.busy & willing & ~asked & ~came & ~gives, SILENCE)
        return m


class WriterProof(wiring.Component):
    """Any packets, rooms and pauses on all sides; of what is written, one beat is followed."""

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                **_run_inputs(),
                "valid": In(1),
                "payload": In(beat(config)),
                "awready": In(1),
                "wready": In(1),
                "bvalid": In(1),
                "bresp": In(2),
                "chosen": In(3),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.writer = writer = dma.Writer(config, SMALL)
        _run(m, self, writer)
        constant(m, self.chosen)
        m.d.comb += [
            writer.i.valid.eq(self.valid),
            writer.i.payload.eq(self.payload),
            writer.m_axi.awready.eq(self.awready),
            writer.m_axi.wready.eq(self.wready),
            writer.m_axi.bvalid.eq(self.bvalid),
            writer.m_axi.bresp.eq(self.bresp),
        ]
        asked = writer.m_axi.awvalid & self.awready
        left_queue = writer.m_axi.wvalid & self.wready
        acknowledged = self.bvalid & writer.m_axi.bready
        taken = writer.i.valid & writer.i.ready

        # What came since the last start, counts of packets included, and what has gone of it. The
        # one that is followed is the same throughout.
        entered, gone = Signal(3), Signal(3)
        in_packet, value, is_count = Signal(32), Signal(8 * config.stream_bytes), Signal()
        counts = taken & self.payload.last
        aborting = Signal()
        with m.If(taken & ~aborting):
            m.d.sync += [
                entered.eq(entered + 1 + counts),
                in_packet.eq(Mux(counts, 0, in_packet + 1)),
            ]
            with m.If(entered == self.chosen):
                m.d.sync += [value.eq(self.payload.data), is_count.eq(0)]
            with m.If(counts & (entered + 1 == self.chosen)):
                m.d.sync += [value.eq(in_packet + 1), is_count.eq(1)]
        with m.If(left_queue):
            m.d.sync += gone.eq(gone + 1)

        # The room and the burst that is under way.
        address, room = Signal(SMALL.address_bits), Signal(8)
        open_, length, left, ends = Signal(), Signal(9), Signal(9), Signal(8)
        written, packets = Signal(8), Signal(8)
        offers = writer.m_axi.awvalid
        # After `abort` only that burst begins which was offered, or about to be.
        begun = Signal()
        m.d.sync += begun.eq(self.abort | (offers & ~self.awready))
        m.d.comb += Assert(~offers | ~aborting | begun)
        beats = check_burst(m, config, writer, "aw", address, room)
        data = writer.m_axi.wdata
        stays(m, writer.m_axi.wvalid, self.wready, data, writer.m_axi.wlast)
        idle = ~open_ & ~offers
        m.d.comb += [
            Assume(~self.bvalid | (open_ & (left == 0))),
            Assume(~self.start | (writer.full | (idle & ~aborting & (entered == gone)))),
            Assert(~asked | ~open_),
            Assert(~writer.m_axi.wvalid | (open_ & (left != 0))),
            Assert(~left_queue | (writer.m_axi.wlast == (left == 1))),
            Assert(writer.m_axi.wstrb == (1 << config.stream_bytes) - 1),
            # No beat is invented, and the one that is followed is what it was.
            Assert(aborting | ~left_queue | (gone < entered)),
            Assert(aborting | ~left_queue | (gone != self.chosen) | (data == value)),
            Assert(writer.written[: len(written)] == written),
            Assert(writer.packets[: len(packets)] == packets),
            Assert(writer.failed == (acknowledged & self.bresp[1] & ~aborting)),
            Assert(~writer.full | (idle & ((room == 0) | aborting))),
            Cover(left_queue & is_count & (gone == self.chosen) & (self.chosen == 3)),
            Cover(writer.full & (written == 3) & (packets == 1)),
            Cover(self.start & aborting & (written != 0)),
        ]
        # The ends of packets that have gone: their beats are counts.
        marks = Array(Signal(name=f"mark_{i}") for i in range(8))
        with m.If(taken & ~aborting):
            m.d.sync += [marks[entered].eq(0), marks[entered + 1].eq(counts)]
        m.d.comb += Assume(entered < 7)
        with m.If(asked):
            m.d.sync += [open_.eq(1), length.eq(beats), left.eq(beats), ends.eq(0)]
        with m.If(left_queue):
            m.d.sync += [left.eq(left - 1), ends.eq(ends + marks[gone])]
        with m.If(acknowledged):
            failed = self.bresp[1] | aborting
            m.d.sync += [
                open_.eq(0),
                address.eq(address + length * config.stream_bytes),
                room.eq(Mux(failed, 0, room - length)),
                written.eq(written + length),
            ]
            with m.If(~aborting):
                m.d.sync += packets.eq(packets + ends)
        with m.If(self.abort):
            m.d.sync += [aborting.eq(1), packets.eq(0)]
        with m.If(self.start):
            m.d.sync += [
                aborting.eq(0),
                address.eq(self.address),
                room.eq(self.beats),
                written.eq(0),
            ]
            with m.If(aborting):
                m.d.sync += [entered.eq(0), gone.eq(0), in_packet.eq(0)]
        # No deadlock: with room, what came is written; without, or aborting, it is full soon.
        willing = self.awready & self.wready & (self.bvalid | ~open_ | (left != 0))
        wanted = Mux(aborting | (room == 0), ~writer.full, gone != entered)
        moved = asked | left_queue | acknowledged
        ends_within(m, wanted & willing & ~moved & ~self.start, SILENCE)
        return m
