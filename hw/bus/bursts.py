"""Bursts on an AXI4 bus: spans of beats cut to what the bus allows, read and written.

    spans ─► Cutter ─► bursts ─► ReadChannel ─► AR, R ─► [queue] ─► beats
                          └────► WriteChannel ◄─ beats;  ─► AW, W ◄─ B

Everybody on a bus is served by the same channels: nobody asks for data that it has no room for, or
offers a burst whose data depend on another one's answers. So nobody holds the bus up for others.
Source of the bus's rules: AMBA AXI4 (ARM IHI 0022), INCR bursts.
"""

from dataclasses import dataclass

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import AXI_BYTES, Config, ConfigError
from ..isa.dma_registers import ADDRESS_BITS
from ..lib.fifo import Fifo
from .axi import Axi4Read, Axi4Write

INCR = 1
"""AXI4's kind of burst whose addresses go up."""


@dataclass(frozen=True)
class Limits:
    """How large everything is; a proof takes it smaller."""

    boundary_log2: int = 12
    """No burst crosses a boundary of so many address bits, 4 KiB (AXI4)."""
    burst: int = 64
    """Most beats in a burst; AXI4 allows 256, and 64 of four bytes or more hide a memory's
    latency."""
    read_room: int = 128
    """Beats that are asked for before they are wanted."""
    writes_ahead: int = 16
    """Bursts that are written before the first of them is acknowledged."""
    address_bits: int = ADDRESS_BITS
    length_bits: int = 32
    """Width of a span's length in beats."""


LIMITS = Limits()


def width_of(config: Config) -> int:
    """Width of the AXI4 bus in bits.

    Raises `ConfigError` if a beat is no power of two of bytes from 4 to 128.
    """
    if config.stream_bytes not in AXI_BYTES:
        raise ConfigError(
            f"AXI4 moves 4 to 128 bytes a beat, configuration {config.name!r} has "
            f"{config.stream_bytes}: choose other lanes"
        )
    return 8 * config.stream_bytes


def SPAN(limits: Limits) -> data.StructLayout:
    """Beats that follow each other in memory: from byte `address`, which is a beat's first, on.
    `end` comes back when they have been written."""
    return data.StructLayout(
        {"address": limits.address_bits, "beats": limits.length_bits, "end": 1}
    )


def BURST(limits: Limits) -> data.StructLayout:
    """A burst that AXI4 allows; `end` is its span's, if it is the last one of that."""
    return data.StructLayout(
        {"address": limits.address_bits, "beats": range(limits.burst + 1), "end": 1}
    )


def READ_BEAT(config: Config) -> data.StructLayout:
    """A beat that was read; `bad` if the memory answered with an error."""
    return data.StructLayout({"data": width_of(config), "bad": 1})


def WRITE_BEAT(config: Config) -> data.StructLayout:
    """A beat to be written, a strobe for each byte."""
    return data.StructLayout({"data": width_of(config), "strobe": config.stream_bytes})


def burst_beats(config: Config, limits: Limits, address, left, most):
    """Beats of the next burst: up to the boundary, what is left, and `most`."""
    shift = config.stream_bytes.bit_length() - 1
    place = address[shift : limits.boundary_log2]
    to_boundary = (1 << (limits.boundary_log2 - shift)) - place
    limit = Mux(to_boundary < most, to_boundary, most)
    return Mux(left < limit, left, limit)


def _constant_fields(m: Module, bus, channel: str, config: Config):
    """What every burst has in common: whole beats, one after another, plain memory."""
    m.d.comb += [
        getattr(bus, f"{channel}size").eq(config.stream_bytes.bit_length() - 1),
        getattr(bus, f"{channel}burst").eq(INCR),
        # Normal, non-cacheable, bufferable: what AXI4 names for DMA through an interconnect.
        getattr(bus, f"{channel}cache").eq(0b0011),
    ]


class Cutter(wiring.Component):
    """Cut spans into bursts.

    Latency: 2 cycles. Throughput: a burst a cycle. Stall rule: waits for `bursts` alone.

    Members
    -------
    spans : In stream of SPAN, at least a beat each
    stop : In(1), what is left of a span is given up
    bursts : Out stream of BURST; with `stop` what waits is taken back
    busy : Out(1), a span is not cut whole
    """

    def __init__(self, config: Config, limits: Limits = LIMITS):
        self.config, self.limits = config, limits
        super().__init__(
            {
                "spans": In(stream.Signature(SPAN(limits))),
                "stop": In(1),
                "bursts": Out(stream.Signature(BURST(limits))),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, limits = self.config, self.limits
        rest, there = Signal(SPAN(limits), reset_less=True), Signal()
        beats, cuts = Signal(range(limits.burst + 1)), Signal()
        final = rest.beats == beats
        m.d.comb += [
            beats.eq(burst_beats(config, limits, rest.address, rest.beats, limits.burst)),
            cuts.eq(there & (~self.bursts.valid | self.bursts.ready)),
            self.spans.ready.eq(~there | (cuts & final)),
            self.busy.eq(there | self.bursts.valid),
        ]
        with m.If(self.bursts.ready):
            m.d.sync += self.bursts.valid.eq(0)
        with m.If(cuts):
            burst = self.bursts.payload
            m.d.sync += [
                self.bursts.valid.eq(1),
                burst.address.eq(rest.address),
                burst.beats.eq(beats),
                burst.end.eq(rest.end & final),
                rest.address.eq(rest.address + beats * config.stream_bytes),
                rest.beats.eq(rest.beats - beats),
            ]
        with m.If(self.spans.ready):
            m.d.sync += [there.eq(self.spans.valid), rest.eq(self.spans.payload)]
        with m.If(self.stop):
            m.d.sync += [there.eq(0), self.bursts.valid.eq(0)]
        return m


class ReadChannel(wiring.Component):
    """Read bursts into a queue, as far ahead as it has room.

    Latency: 1 cycle from a burst to its request, 3 from the memory's beat to `o`. Throughput: a
    beat a cycle, if the memory answers within `read_room` beats' time less a burst's. Stall rule: a
    burst waits until the queue has room for it; the memory never waits.

    Members
    -------
    bursts : In stream of BURST
    o : Out stream of READ_BEAT
    busy : Out(1), something was asked for and has not left
    m_axi : Out Axi4Read, the memory
    """

    def __init__(self, config: Config, limits: Limits = LIMITS):
        self.config, self.limits = config, limits
        self.queue = Fifo(READ_BEAT(config), limits.read_room)
        super().__init__(
            {
                "bursts": In(stream.Signature(BURST(limits))),
                "o": Out(stream.Signature(READ_BEAT(config))),
                "busy": Out(1),
                "m_axi": Out(Axi4Read(width_of(config), limits.address_bits)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        limits, bus, burst = self.limits, self.m_axi, self.bursts.payload
        _constant_fields(m, bus, "ar", self.config)
        m.submodules.queue = queue = self.queue
        wiring.connect(m, queue.o, wiring.flipped(self.o))
        room = Signal(range(limits.read_room + 1), init=limits.read_room)
        left, taken = self.o.valid & self.o.ready, self.bursts.valid & self.bursts.ready
        m.d.comb += [
            self.busy.eq(room != limits.read_room),
            self.bursts.ready.eq((~bus.arvalid | bus.arready) & (room >= burst.beats)),
            queue.i.valid.eq(bus.rvalid),
            queue.i.payload.data.eq(bus.rdata),
            queue.i.payload.bad.eq(bus.rresp[1]),
            bus.rready.eq(1),
        ]
        m.d.sync += room.eq(room + left - Mux(taken, burst.beats, 0))
        with m.If(bus.arready):
            m.d.sync += bus.arvalid.eq(0)
        with m.If(taken):
            m.d.sync += [
                bus.arvalid.eq(1),
                bus.araddr.eq(burst.address),
                bus.arlen.eq(burst.beats - 1),
            ]
        return m


class WriteChannel(wiring.Component):
    """Write bursts, one after another, whose beats come in their time.

    Latency: 1 cycle from a burst to its request; none for beats. Throughput: a beat a cycle, if
    the memory acknowledges within `writes_ahead` bursts. Stall rule: a burst waits while so many
    are not acknowledged, beats for the memory.

    Members
    -------
    bursts : In stream of BURST
    i : In stream of WRITE_BEAT, as many as the bursts have
    busy : Out(1), a burst was taken and has not been acknowledged
    ended : Out(1), a pulse: a burst with `end` has been acknowledged
    failed : Out(1), a pulse: memory answered with an error
    m_axi : Out Axi4Write, the memory
    """

    def __init__(self, config: Config, limits: Limits = LIMITS):
        self.config, self.limits = config, limits
        self.lengths = Fifo(range(limits.burst + 1), 2)
        """Of bursts that were requested, and whose beats have not begun."""
        self.open = Fifo(1, limits.writes_ahead)
        """Bursts that are not acknowledged: whether they have `end`."""
        super().__init__(
            {
                "bursts": In(stream.Signature(BURST(limits))),
                "i": In(stream.Signature(WRITE_BEAT(config))),
                "busy": Out(1),
                "ended": Out(1),
                "failed": Out(1),
                "m_axi": Out(Axi4Write(width_of(config), limits.address_bits)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        bus, burst = self.m_axi, self.bursts.payload
        _constant_fields(m, bus, "aw", self.config)
        m.submodules.lengths, m.submodules.open = lengths, opened = self.lengths, self.open
        length, asks = Signal(range(self.limits.burst + 1)), Signal()
        left = Signal.like(length)
        requested, moved = bus.awvalid & bus.awready, bus.wvalid & bus.wready
        m.d.comb += [
            # Data follow their request.
            bus.awvalid.eq(asks & lengths.i.ready),
            bus.awlen.eq(length - 1),
            lengths.i.valid.eq(requested),
            lengths.i.payload.eq(length),
            self.bursts.ready.eq((~asks | requested) & opened.i.ready),
            opened.i.valid.eq(self.bursts.valid & self.bursts.ready),
            opened.i.payload.eq(burst.end),
        ]
        with m.If(requested):
            m.d.sync += asks.eq(0)
        with m.If(self.bursts.valid & self.bursts.ready):
            m.d.sync += [asks.eq(1), bus.awaddr.eq(burst.address), length.eq(burst.beats)]
        m.d.comb += [
            bus.wvalid.eq(self.i.valid & (left != 0)),
            bus.wdata.eq(self.i.payload.data),
            bus.wstrb.eq(self.i.payload.strobe),
            bus.wlast.eq(left == 1),
            self.i.ready.eq(bus.wready & (left != 0)),
            lengths.o.ready.eq((left == 0) | (moved & bus.wlast)),
        ]
        with m.If(lengths.o.ready):
            m.d.sync += left.eq(Mux(lengths.o.valid, lengths.o.payload, 0))
        with m.Elif(moved):
            m.d.sync += left.eq(left - 1)
        m.d.comb += [
            bus.bready.eq(1),
            self.busy.eq(opened.level != 0),
            opened.o.ready.eq(bus.bvalid),
            self.ended.eq(bus.bvalid & opened.o.payload),
            self.failed.eq(bus.bvalid & bus.bresp[1]),
        ]
        return m
