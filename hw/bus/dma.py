"""Packets between memory and streams: an AXI4 master that reads commands and writes responses.

    memory ──► AR, R ──► [packets apart] ──► stream out (commands)
    memory ◄── AW, W, B ◄── [queue] ◄────── stream in (responses)

In memory a packet to be read is a beat whose low 32 bits count the beats that follow, then those.
A packet that was written is its beats, then one whose low 32 bits count them: how long a response
is shows only at its end, so the host takes them apart from the last to the first.
"""

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..layouts.stream import beat
from ..lib.connect import connect_checked
from ..lib.fifo import Fifo
from .axi import Axi4Read, Axi4Write
from .bursts import LIMITS, Cutter, Limits, ReadChannel, WriteChannel, burst_beats, width_of


class Reader(wiring.Component):
    """Read a run of beats from memory and take its packets apart.

    Throughput: one beat a cycle, as far as the memory gives it (`bursts.ReadChannel`). Stall rule:
    data wait in a queue while the stream does; the memory never waits. A read that fails, or
    `abort`, ends the run: what is still under way is thrown away.

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
        self.channel = ReadChannel(config, limits)
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
        m.submodules.cutter = cutter = Cutter(self.config, self.limits)
        m.submodules.channel = channel = self.channel
        connect_checked(m, cutter.bursts, channel.bursts)
        connect_checked(m, channel.m_axi, wiring.flipped(self.m_axi))
        ends = self.failed | self.abort
        m.d.comb += [
            cutter.spans.valid.eq(self.start),
            cutter.spans.payload.address.eq(self.address),
            cutter.spans.payload.beats.eq(self.beats),
            cutter.stop.eq(ends),
            self.busy.eq(cutter.busy | channel.busy),
        ]

        # A count, and so many beats.
        to_come, left = Signal(self.limits.length_bits), Signal(32)
        taken, bad = channel.o.valid & channel.o.ready, channel.o.payload.bad
        counting, wanted = left == 0, to_come != 0
        m.d.comb += [
            self.failed.eq(taken & bad & wanted),
            self.o.payload.data.eq(channel.o.payload.data),
            self.o.payload.last.eq(left == 1),
            self.o.valid.eq(channel.o.valid & ~counting & ~bad & wanted),
            channel.o.ready.eq(self.o.ready | counting | bad | ~wanted),
        ]
        with m.If(taken & wanted):
            m.d.sync += [
                to_come.eq(to_come - 1),
                left.eq(Mux(counting, channel.o.payload.data[:32], left - 1)),
            ]
        with m.If(ends):
            m.d.sync += [to_come.eq(0), left.eq(0)]
        with m.If(self.start):
            m.d.sync += [to_come.eq(self.beats), left.eq(0)]
        return m


class Writer(wiring.Component):
    """Write packets to memory, one after another, until the room there is used up.

    Throughput: a burst of what has come, then the next one when memory has acknowledged it. Stall
    rule: the stream waits while there is no room, and never for the end of a packet. A burst is
    requested when all its beats have come, so the bus waits for none of them.

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
        m.submodules.queue = queue = Fifo(beat(config), limits.burst)
        m.submodules.channel = channel = WriteChannel(config, limits)
        connect_checked(m, channel.m_axi, wiring.flipped(self.m_axi))
        aborting = Signal()
        self._count_beats(m, queue, aborting)
        address, room = Signal(limits.address_bits), Signal(limits.length_bits)
        length, left = Signal(range(limits.burst + 1)), Signal(range(limits.burst + 1))
        ends = Signal(range(limits.burst + 1))
        m.d.comb += [
            channel.bursts.payload.address.eq(address),
            channel.bursts.payload.beats.eq(length),
            channel.bursts.payload.end.eq(1),
            channel.i.payload.data.eq(queue.o.payload.data),
            channel.i.payload.strobe.eq(~0),
        ]
        with m.FSM():
            with m.State("COLLECT"):
                m.d.sync += [
                    length.eq(burst_beats(config, limits, address, room, queue.level)),
                    ends.eq(0),
                ]
                m.d.comb += [
                    queue.o.ready.eq(aborting),
                    self.full.eq((room == 0) & ~(aborting & queue.o.valid)),
                ]
                with m.If((room != 0) & (queue.level != 0) & ~self.start):
                    m.next = "REQUEST"
            with m.State("REQUEST"):
                m.d.comb += channel.bursts.valid.eq(~aborting)
                m.d.sync += left.eq(length)
                m.next = "COLLECT"
                with m.If(channel.bursts.valid):  # no other burst is open, so it is taken
                    m.next = "DATA"
            with m.State("DATA"):
                m.d.comb += [
                    channel.i.valid.eq(queue.o.valid & (left != 0)),
                    queue.o.ready.eq(channel.i.ready & (left != 0)),
                ]
                with m.If(queue.o.valid & queue.o.ready):
                    m.d.sync += [left.eq(left - 1), ends.eq(ends + queue.o.payload.last)]
                with m.If(channel.ended):
                    m.next = "COLLECT"
                    m.d.comb += self.failed.eq(channel.failed & ~aborting)
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
