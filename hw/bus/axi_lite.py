"""AXI4-Lite: the slave's handshakes, and words by address."""

from collections.abc import Sequence

from amaranth import Cat, Const, Module, Mux, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .axi import AxiLite

ADDRESS_BITS = 12
"""Of the accelerator's registers."""


class AxiLiteSlave(wiring.Component):
    """The handshakes of AXI4-Lite: what is left are strobes.

    Latency: 1 cycle. Throughput: one access every 2 cycles. Stall rule: an answer waits for the
    bus master, and the next access for the answer.

    Members
    -------
    s_axil : In AxiLite, the bus
    read : Out(1), with `read_address`: `read_data` is taken in this cycle
    write : Out(1), with `write_address`, `write_data`, and `write_strobes`, one a byte
    """

    def __init__(self, address_bits: int):
        self.address_bits = address_bits
        super().__init__(
            {
                "s_axil": In(AxiLite(address_bits)),
                "read": Out(1),
                "read_address": Out(address_bits),
                "read_data": In(32),
                "write": Out(1),
                "write_address": Out(address_bits),
                "write_data": Out(32),
                "write_strobes": Out(4),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.d.comb += [
            self.write.eq(self.s_axil.awvalid & self.s_axil.wvalid & ~self.s_axil.bvalid),
            self.write_address.eq(self.s_axil.awaddr),
            self.write_data.eq(self.s_axil.wdata),
            self.write_strobes.eq(self.s_axil.wstrb),
            self.s_axil.awready.eq(self.write),
            self.s_axil.wready.eq(self.write),
            self.s_axil.arready.eq(~self.s_axil.rvalid),
            self.read.eq(self.s_axil.arvalid & self.s_axil.arready),
            self.read_address.eq(self.s_axil.araddr),
        ]
        with m.If(self.write):
            m.d.sync += self.s_axil.bvalid.eq(1)
        with m.Elif(self.s_axil.bready):
            m.d.sync += self.s_axil.bvalid.eq(0)
        with m.If(self.read):
            m.d.sync += [self.s_axil.rvalid.eq(1), self.s_axil.rdata.eq(self.read_data)]
        with m.Elif(self.s_axil.rready):
            m.d.sync += self.s_axil.rvalid.eq(0)
        return m


def select(address: Value, words: Sequence) -> Value:
    """The 32-bit word at byte `address` of `words`; zero where there is none.

    By indexing, which makes a far smaller multiplexer than comparing addresses.
    """
    bits = Cat(Cat(Value.cast(word), Const(0, 32))[:32] for word in words)
    outside = address[:2].any() | (address >> 2 >= len(words))
    return Mux(outside, 0, bits.word_select(address[2 : 2 + (len(words) - 1).bit_length()], 32))
