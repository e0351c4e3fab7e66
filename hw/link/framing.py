"""Frames on a byte line, as in HDLC (RFC 1662): flags, escapes, the 32-bit FCS."""

from amaranth import Cat, Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..isa.link_protocol import ESCAPE, ESCAPE_XOR, FLAG

FCS_POLYNOMIAL = 0xEDB88320
"""CRC-32, least significant bit first."""
FCS_INITIAL = 0xFFFFFFFF

BYTE = data.StructLayout({"data": 8, "last": 1})
"""A frame's byte, and whether the frame ends with it."""


def fcs32_next(state: Value, byte: Value) -> Value:
    """The FCS register after one more byte."""
    bits = [state[i] for i in range(32)]
    for i in range(8):
        feedback = bits[0] ^ byte[i]
        shifted = [*bits[1:], feedback]
        bits = [
            bit ^ feedback if FCS_POLYNOMIAL >> j & 1 and j != 31 else bit
            for j, bit in enumerate(shifted)
        ]
    return Cat(bits)


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
