"""Packets between memory and streams: an AXI4 master that reads commands and writes responses.

    memory ──► AR, R ──► [packets apart] ──► stream out (commands)
    memory ◄── AW, W, B ◄── [queue] ◄────── stream in (responses)

In memory a packet to be read is a beat whose low 32 bits count the beats that follow, then those.
A packet that was written is its beats, then one whose low 32 bits count them: how long a response
is shows only at its end, so the host takes them apart from the last to the first.
Source of the bus's rules: AMBA AXI4 (ARM IHI 0022), INCR bursts.
"""

from dataclasses import dataclass

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config, ConfigError
from ..isa.dma_registers import ADDRESS_BITS
from ..layouts import beat
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
    reads_ahead: int = 2
    """Bursts that are asked for before their data have come."""
    address_bits: int = ADDRESS_BITS
    length_bits: int = 32
    """Width of a transfer's length in beats."""


LIMITS = Limits()


def width_of(config: Config) -> int:
    """Width of the AXI4 bus in bits.

    Raises `ConfigError` if a beat is no power of two of bytes from 4 to 128.
    """
    if config.stream_bytes not in (4, 8, 16, 32, 64, 128):
        raise ConfigError(
            f"AXI4 moves 4 to 128 bytes a beat, configuration {config.name!r} has "
            f"{config.stream_bytes}: choose other lanes"
        )
    return 8 * config.stream_bytes


def _constant_fields(m: Module, bus, channel: str, config: Config):
    """What every burst has in common: whole beats, one after another, plain memory."""
    m.d.comb += [
        getattr(bus, f"{channel}size").eq(config.stream_bytes.bit_length() - 1),
        getattr(bus, f"{channel}burst").eq(INCR),
        # Normal, non-cacheable, bufferable: what AXI4 names for DMA through an interconnect.
        getattr(bus, f"{channel}cache").eq(0b0011),
    ]


def _burst(config: Config, limits: Limits, address, left, most):
    """Beats of the next burst: up to the boundary, what is left, and `most`."""
    shift = config.stream_bytes.bit_length() - 1
    place = address[shift : limits.boundary_log2]
    to_boundary = (1 << (limits.boundary_log2 - shift)) - place
    limit = Mux(to_boundary < most, to_boundary, most)
    return Mux(left < limit, left, limit)


class Reader(wiring.Component):
    """Read a run of beats from memory and take its packets apart.

    Throughput: one beat a cycle, if memory answers a burst within another one's length. Stall
    rule: data wait while the stream does. A read that fails, or `abort`, ends the run: what is
    still under way is thrown away.

    Members
    -------
    start : In(1), with `address` (bytes, on a beat) and `beats` (at least 1), while not `busy`
    abort : In(1), end the run
    busy : Out(1), the run is not over
    failed : Out(1), a pulse: memory answered with an error
    m_axi : Out Axi4Read, the memory
    o : Out stream of layouts.beat
    """

    def __init__(self, config: Config, limits: Limits = LIMITS):
        self.config, self.limits = config, limits
        super().__init__(
            {
                "start": In(1),
                "address": In(limits.address_bits),
                "beats": In(limits.length_bits),
                "abort": In(1),
                "busy": Out(1),
                "failed": Out(1),
                "o": Out(stream.Signature(beat(config))),
                "m_axi": Out(Axi4Read(width_of(config), limits.address_bits)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, limits = self.config, self.limits
        _constant_fields(m, self.m_axi, "ar", config)

        # Requests.
        address = Signal(limits.address_bits)
        to_ask, to_come = Signal(limits.length_bits), Signal(limits.length_bits)
        open_bursts = Signal(range(limits.reads_ahead + 1))
        asked = self.m_axi.arvalid & self.m_axi.arready
        came = self.m_axi.rvalid & self.m_axi.rready
        ended = came & self.m_axi.rlast
        length = Signal(range(limits.burst + 1))
        m.d.sync += open_bursts.eq(open_bursts + asked - ended)
        m.d.comb += [
            self.busy.eq((to_ask != 0) | (open_bursts != 0) | self.m_axi.arvalid),
            self.m_axi.araddr.eq(address),
            self.m_axi.arlen.eq(length - 1),
        ]
        with m.If(asked):
            m.d.sync += [
                self.m_axi.arvalid.eq(0),
                address.eq(address + length * config.stream_bytes),
            ]
        with m.Elif(~self.m_axi.arvalid & (to_ask != 0) & (open_bursts != limits.reads_ahead)):
            next_length = _burst(config, limits, address, to_ask, limits.burst)
            m.d.sync += [
                self.m_axi.arvalid.eq(1),
                length.eq(next_length),
                to_ask.eq(to_ask - next_length),
            ]

        # Data: a count, and so many beats.
        left = Signal(32)
        counting = left == 0
        bad = Signal()
        m.d.comb += [
            bad.eq(self.m_axi.rvalid & self.m_axi.rresp[1]),
            self.failed.eq(bad & came & (to_come != 0)),
            self.o.payload.data.eq(self.m_axi.rdata),
            self.o.payload.last.eq(left == 1),
            self.o.valid.eq(self.m_axi.rvalid & ~counting & ~bad & (to_come != 0)),
            self.m_axi.rready.eq(self.o.ready | counting | bad | (to_come == 0)),
        ]
        with m.If(came & (to_come != 0)):
            m.d.sync += [
                to_come.eq(to_come - 1),
                left.eq(Mux(counting, self.m_axi.rdata[:32], left - 1)),
            ]
        with m.If(self.failed | self.abort):
            m.d.sync += [to_ask.eq(0), to_come.eq(0), left.eq(0)]
        with m.If(self.start):
            m.d.sync += [
                address.eq(self.address),
                to_ask.eq(self.beats),
                to_come.eq(self.beats),
                left.eq(0),
            ]
        return m


class Writer(wiring.Component):
    """Write packets to memory, one after another, until the room there is used up.

    Throughput: a burst of what has come, then the next one when memory has acknowledged it. Stall
    rule: the stream waits while there is no room, and never for the end of a packet.

    Members
    -------
    start : In(1), with `address` (bytes, on a beat) and `beats` of room; only when `full`, or when
        all that came has been acknowledged
    abort : In(1), give the room up, and throw away what comes until the next `start`
    written : Out(32), beats acknowledged since `start`, counts included
    packets : Out(32), ends of packets acknowledged since `abort`, none from before it
    full : Out(1), there is no room, no burst under way and nothing left to throw away
    failed : Out(1), a pulse: memory answered with an error; the room is given up
    i : In stream of layouts.beat
    m_axi : Out Axi4Write, the memory
    """

    def __init__(self, config: Config, limits: Limits = LIMITS):
        self.config, self.limits = config, limits
        super().__init__(
            {
                "start": In(1),
                "address": In(limits.address_bits),
                "beats": In(limits.length_bits),
                "abort": In(1),
                "written": Out(limits.length_bits),
                "packets": Out(limits.length_bits),
                "full": Out(1),
                "failed": Out(1),
                "i": In(stream.Signature(beat(config))),
                "m_axi": Out(Axi4Write(width_of(config), limits.address_bits)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, limits = self.config, self.limits
        _constant_fields(m, self.m_axi, "aw", config)
        m.submodules.queue = queue = Fifo(beat(config), limits.burst)
        aborting = Signal()
        self._count_beats(m, queue, aborting)
        address, room = Signal(limits.address_bits), Signal(limits.length_bits)
        length, left = Signal(range(limits.burst + 1)), Signal(range(limits.burst + 1))
        ends = Signal(range(limits.burst + 1))
        m.d.comb += [
            self.m_axi.awaddr.eq(address),
            self.m_axi.awlen.eq(length - 1),
            self.m_axi.wdata.eq(queue.o.payload.data),
            self.m_axi.wstrb.eq(~0),
            self.m_axi.wlast.eq(left == 1),
        ]
        with m.FSM():
            with m.State("COLLECT"):
                m.d.sync += [
                    length.eq(_burst(config, limits, address, room, queue.level)),
                    ends.eq(0),
                ]
                m.d.comb += [
                    queue.o.ready.eq(aborting),
                    self.full.eq((room == 0) & ~(aborting & queue.o.valid)),
                ]
                with m.If((room != 0) & (queue.level != 0) & ~self.start):
                    m.next = "REQUEST"
            with m.State("REQUEST"):
                m.d.comb += self.m_axi.awvalid.eq(1)
                m.d.sync += left.eq(length)
                with m.If(self.m_axi.awready):
                    m.next = "DATA"
            with m.State("DATA"):
                m.d.comb += [
                    self.m_axi.wvalid.eq(queue.o.valid),
                    queue.o.ready.eq(self.m_axi.wready),
                ]
                with m.If(queue.o.valid & self.m_axi.wready):
                    m.d.sync += [left.eq(left - 1), ends.eq(ends + queue.o.payload.last)]
                    with m.If(left == 1):
                        m.next = "ACKNOWLEDGE"
            with m.State("ACKNOWLEDGE"):
                m.d.comb += self.m_axi.bready.eq(1)
                with m.If(self.m_axi.bvalid):
                    m.next = "COLLECT"
                    m.d.comb += self.failed.eq(self.m_axi.bresp[1] & ~aborting)
                    m.d.sync += [
                        address.eq(address + length * config.stream_bytes),
                        room.eq(Mux(self.failed | aborting, 0, room - length)),
                        self.written.eq(self.written + length),
                    ]
                    with m.If(~aborting):
                        m.d.sync += self.packets.eq(self.packets + ends)
        with m.If(self.abort):
            m.d.sync += [aborting.eq(1), room.eq(0), self.packets.eq(0)]
        with m.Elif(self.start):
            m.d.sync += [
                aborting.eq(0),
                address.eq(self.address),
                room.eq(self.beats),
                self.written.eq(0),
            ]
        return m

    def _count_beats(self, m: Module, queue: Fifo, aborting: Signal):
        """Queue what comes, and after each packet the number of its beats, marked as its end."""
        count, ended = Signal(32), Signal()
        taken = queue.i.valid & queue.i.ready
        m.d.comb += [
            queue.i.valid.eq((self.i.valid | ended) & ~aborting),
            queue.i.payload.data.eq(Mux(ended, count, self.i.payload.data)),
            queue.i.payload.last.eq(ended),
            self.i.ready.eq((queue.i.ready & ~ended) | aborting),
        ]
        with m.If(taken):
            m.d.sync += [count.eq(Mux(ended, 0, count + 1)), ended.eq(~ended & self.i.payload.last)]
        with m.If(aborting):
            m.d.sync += [count.eq(0), ended.eq(0)]
