"""The filler: weights, their indices and group records from tensor memory into their buffers."""

from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..buffers.payload import PayloadUnpacker
from ..config import Config
from ..layouts import FILL, READ_PORT, connect_checked, write_signature
from .beats import BeatReader


class Filler(wiring.Component):
    """Take one FILL after another; its words are dealt out as a LOAD's payload is.

    Latency: 5 cycles from a FILL to its first chunk. Throughput: a chunk a cycle. Stall rule: waits
    for the memory alone.

    Members
    -------
    fills : In stream of layouts.FILL
    port : Out(layouts.READ_PORT)
    write : Out, the write bus
    finished : Out(1), a FILL's last chunk is on the bus, or its words have run out
    fault : Out(1), with the end of a FILL whose words did not end with its last chunk, or that had
        a group record that counts more weights than a group has
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "fills": In(stream.Signature(FILL(config))),
                "port": Out(READ_PORT(config)),
                "write": Out(write_signature(config)),
                "finished": Out(1),
                "fault": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.reader = reader = BeatReader(self.config)
        m.submodules.unpacker = unpacker = PayloadUnpacker(self.config)
        connect_checked(m, reader.port, wiring.flipped(self.port))
        connect_checked(m, unpacker.write, wiring.flipped(self.write))
        fill = self.fills.payload
        m.d.comb += [
            reader.words.payload.eq(fill.words),
            unpacker.target.eq(fill.target),
            unpacker.address.eq(fill.address),
            unpacker.count.eq(fill.count),
            unpacker.i.payload.eq(reader.o.payload),
        ]
        with m.FSM():
            with m.State("IDLE"):
                # The reader has given all that it was asked for before.
                m.d.comb += [
                    self.fills.ready.eq(1),
                    reader.words.valid.eq(self.fills.valid),
                    unpacker.start.eq(self.fills.valid),
                ]
                with m.If(self.fills.valid):
                    m.next = "DEAL"
            with m.State("DEAL"):
                m.d.comb += [
                    unpacker.i.valid.eq(reader.o.valid),
                    reader.o.ready.eq(unpacker.i.ready),
                ]
                with m.If(unpacker.done):
                    m.d.comb += [
                        self.fault.eq(unpacker.bad_length | unpacker.bad_schedule),
                        self.finished.eq(unpacker.ended),
                    ]
                    m.next = "DISCARD"
                    with m.If(unpacker.ended):
                        m.next = "IDLE"
            with m.State("DISCARD"):
                m.d.comb += reader.o.ready.eq(1)
                with m.If(reader.o.valid & reader.o.payload.last):
                    m.d.comb += self.finished.eq(1)
                    m.next = "IDLE"
        return m
