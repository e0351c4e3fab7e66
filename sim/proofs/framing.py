"""Framer and Deframer: what is framed is what comes out, and flags stand around it."""

from amaranth import Module, Mux, Signal
from amaranth.hdl import Assert, Assume, Cover
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In

from ...hw.isa.link_protocol import ESCAPE, ESCAPE_XOR, FLAG
from ...hw.link.framing import BYTE, Deframer, Framer
from .claims import during, elaborated, falls, stays


class FramingProof(wiring.Component):
    """Any frames through both, with any pauses of their source and of the line."""

    def __init__(self):
        super().__init__({"i": In(stream.Signature(BYTE)), "line": In(1)})

    def elaborate(self, platform):
        m = Module()
        framer = Framer()
        m.submodules.framer = elaborated(framer)
        m.submodules.deframer = deframer = Deframer()
        wiring.connect(m, wiring.flipped(self.i), framer.i)
        on_line, sent = framer.o.payload, framer.o.valid & self.line
        m.d.comb += [
            framer.o.ready.eq(self.line),
            deframer.i_valid.eq(sent),
            deframer.i_data.eq(on_line),
        ]
        taken = self.i.valid & self.i.ready
        stays(m, self.i.valid, self.i.ready, self.i.payload, claim=Assume)
        stays(m, framer.o.valid, self.line, on_line)
        # Whether the line is within a frame, and whether that has all its bytes.
        inside, whole = Signal(), Signal()
        m.d.sync += whole.eq(Mux(taken, self.i.payload.last, whole & ~sent))
        with m.If(sent):
            m.d.sync += inside.eq(~whole)

        between = ~inside | whole
        byte = self.i.payload.data
        special = (byte == FLAG) | (byte == ESCAPE)
        escaped = deframer.aborted  # if there were a flag now
        within = Mux(escaped, byte ^ ESCAPE_XOR, Mux(special, ESCAPE, byte))
        m.d.comb += [
            Assert(deframer.valid == taken),
            Assert(~taken | (deframer.data == byte)),
            Assert(~taken | ~between),
            Assert(deframer.flag == (sent & between)),
            Assert(~escaped | (special & ~deframer.flag)),
            Assert(framer.o.valid == (self.i.valid | whole)),
            Assert(~framer.o.valid | (on_line == Mux(between, FLAG, within))),
            Cover(taken & self.i.payload.last & (byte == FLAG)),
        ]
        # Bytes on the line until the one that is offered is gone: flags first, and its escape.
        left = Signal(3)
        m.d.comb += left.eq(
            Mux(whole, 4, Mux(~inside, 3, Mux(special & ~escaped, 2, 1))),
        )
        falls(m, left, self.i.valid & self.line & ~taken)
        m.d.comb += Assert(~(self.i.valid & self.line) | (taken == (left == 1)))
        for name, when in (("OPEN", ~inside), ("CLOSE", whole), ("ESCAPED", escaped)):
            m.d.comb += Assert(during(framer.fsm, name) == when)
        return m
