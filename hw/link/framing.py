"""Frames on a byte line, as in HDLC (RFC 1662): flags, escapes, the 32-bit FCS."""

from amaranth import Module, ResetInserter, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.crc.catalog import CRC32_ETHERNET
from amaranth.lib.wiring import In, Out

from ..isa.link_protocol import ESCAPE, ESCAPE_XOR, FLAG

BYTE = data.StructLayout({"data": 8, "last": 1})
"""A frame's byte, and whether the frame ends with it."""


class Fcs(wiring.Component):
    """The running FCS of a frame: CRC-32 as of Ethernet, sent with its low byte first.

    Latency: `fcs` and `intact` cover a byte in the cycle after it. Throughput: one a cycle, no
    stalls.

    Members
    -------
    clear : In(1), begin a new frame
    valid, byte : In, the next byte
    fcs : Out(32), of the bytes so far
    intact : Out(1), the last four bytes are the FCS of those before them
    """

    def __init__(self):
        super().__init__(
            {"clear": In(1), "valid": In(1), "byte": In(8), "fcs": Out(32), "intact": Out(1)}
        )

    def elaborate(self, platform):
        m = Module()
        crc = CRC32_ETHERNET(data_width=8).create()
        # Its own `start` may come with data, which takes a multiplexer before every gate.
        m.submodules.crc = ResetInserter(self.clear)(crc)
        m.d.comb += [
            crc.valid.eq(self.valid),
            crc.data.eq(self.byte),
            self.fcs.eq(crc.crc),
            self.intact.eq(crc.match_detected),
        ]
        return m


class Deframer(wiring.Component):
    """Escapes out of received bytes, flags to pulses.

    Latency: none. Throughput: one a cycle; there is no waiting.

    Members
    -------
    i_valid, i_data : In, a byte from the line
    valid, data : Out, a byte of a frame
    flag : Out(1), a frame may have ended here
    aborted : Out(1), with `flag`: it ended in the middle of an escape
    """

    def __init__(self):
        super().__init__(
            {
                "i_valid": In(1),
                "i_data": In(8),
                "valid": Out(1),
                "data": Out(8),
                "flag": Out(1),
                "aborted": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        escaped = Signal()
        m.d.comb += [
            self.data.eq(self.i_data ^ (escaped << ESCAPE_XOR.bit_length() - 1)),
            self.aborted.eq(escaped),
        ]
        with m.If(self.i_valid):
            m.d.comb += self.flag.eq(self.i_data == FLAG)
            m.d.comb += self.valid.eq(~self.flag & (escaped | (self.i_data != ESCAPE)))
            m.d.sync += escaped.eq(~self.flag & ~self.valid)
        return m


class Framer(wiring.Component):
    """Frames' bytes escaped, between flags.

    Latency: 1 byte, the flag. Throughput: one byte a cycle, two cycles for an escaped one.
    Stall rule: a byte waits for the line.

    Members
    -------
    i : stream of {data, last}
    o : stream of bytes
    """

    def __init__(self):
        super().__init__({"i": In(stream.Signature(BYTE)), "o": Out(stream.Signature(8))})

    def elaborate(self, platform):
        m = Module()
        byte = self.i.payload.data
        special = (byte == FLAG) | (byte == ESCAPE)
        with m.FSM() as self.fsm:
            with m.State("OPEN"):
                m.d.comb += [self.o.payload.eq(FLAG), self.o.valid.eq(self.i.valid)]
                with m.If(self.i.valid & self.o.ready):
                    m.next = "BYTE"
            with m.State("BYTE"):
                m.d.comb += [
                    self.o.valid.eq(self.i.valid),
                    self.o.payload.eq(byte),
                    self.i.ready.eq(self.o.ready & ~special),
                ]
                with m.If(special):
                    m.d.comb += self.o.payload.eq(ESCAPE)
                with m.If(self.i.valid & self.o.ready):
                    with m.If(special):
                        m.next = "ESCAPED"
                    with m.Elif(self.i.payload.last):
                        m.next = "CLOSE"
            with m.State("ESCAPED"):
                m.d.comb += [
                    self.o.valid.eq(1),
                    self.o.payload.eq(byte ^ ESCAPE_XOR),
                    self.i.ready.eq(self.o.ready),
                ]
                with m.If(self.o.ready):
                    m.next = "BYTE"
                    with m.If(self.i.payload.last):
                        m.next = "CLOSE"
            with m.State("CLOSE"):
                m.d.comb += [self.o.payload.eq(FLAG), self.o.valid.eq(1)]
                with m.If(self.o.ready):
                    m.next = "OPEN"
        return m
