"""The filler: weights, their indices and group records from tensor memory into their buffers."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..buffers.payload import PayloadUnpacker
from ..config import Config
from ..isa.commands import Target
from ..layouts import DEAL, FILL, READ_PORT, connect_checked, write_signature
from .beats import BeatReader
from .share import PortShare


class Dealer(wiring.Component):
    """Deal words out to one buffer after another, as a LOAD's payload is.

    Latency: 5 cycles from `deals` to the first chunk. Throughput: a chunk a cycle. Stall rule:
    waits for the memory alone.

    Members
    -------
    deals : In stream of layouts.DEAL
    port : Out(layouts.READ_PORT)
    write : Out, the write bus
    finished : Out(1), the last chunk is on the bus, or the words have run out
    fault : Out(1), with the end of words that did not end with the last chunk, or that had a group
        record that counts more weights than a group has
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "deals": In(stream.Signature(DEAL(config))),
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
        fill = self.deals.payload
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
                    self.deals.ready.eq(1),
                    reader.words.valid.eq(self.deals.valid),
                    unpacker.start.eq(self.deals.valid),
                ]
                with m.If(self.deals.valid):
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


class Filler(wiring.Component):
    """Take one FILL after another: values with their indices, or one kind of word.

    Latency: 6 cycles from a FILL to its first chunk. Throughput: a chunk of each bus a cycle; both
    read through one port, a word a cycle. Stall rule: waits for the memory alone.

    Members
    -------
    fills : In stream of layouts.FILL
    port : Out(layouts.READ_PORT)
    write, indices : Out, write buses: indices that come beside their values have one of their own
    finished : Out(1), a FILL's last chunk is on its bus, or its words have run out
    fault : Out(1), a FILL's words were not as they should be (`Dealer`)
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "fills": In(stream.Signature(FILL(config))),
                "port": Out(READ_PORT(config)),
                "write": Out(write_signature(config)),
                "indices": Out(write_signature(config)),
                "finished": Out(1),
                "fault": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.share = share = PortShare(self.config)
        connect_checked(m, share.port, wiring.flipped(self.port))
        fill, wanted = self.fills.payload, Signal(2)
        m.d.comb += wanted.eq(Cat(1, fill.indices.count != 0))
        # What the FILL at work still waits for.
        left, over, ready = Signal(2), Signal(2), Signal(2)
        dealers = []
        for n, (name, bus) in enumerate((("values", self.write), ("indices", self.indices))):
            m.submodules[name] = dealer = Dealer(self.config)
            connect_checked(m, dealer.port, share.readers[n])
            connect_checked(m, dealer.write, wiring.flipped(bus))
            deal = dealer.deals
            m.d.comb += [
                deal.valid.eq(self.fills.valid & self.fills.ready & wanted[n]),
                deal.payload.target.eq(Target.INDICES if n else fill.target),
                deal.payload.address.eq(fill.address),
                deal.payload.count.eq(fill.count),
                deal.payload.words.eq(fill.indices if n else fill.words),
                ready[n].eq(deal.ready),
                over[n].eq(dealer.finished),
            ]
            dealers.append(dealer)
        m.d.comb += [
            # The next one begins when nothing of this one is left.
            self.fills.ready.eq(ready.all()),
            self.fault.eq(dealers[0].fault | dealers[1].fault),
            self.finished.eq((left != 0) & ((left & ~over) == 0)),
        ]
        begun = self.fills.valid & self.fills.ready
        m.d.sync += left.eq(Mux(begun, wanted, left & ~over))
        return m
