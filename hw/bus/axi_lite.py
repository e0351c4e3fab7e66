"""AXI4-Lite: the slave's ports, its handshakes, and words by address."""

from collections.abc import Sequence

from amaranth import Cat, Const, Module, Mux, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

ADDRESS_BITS = 12


def axi_lite_ports(address_bits: int) -> dict[str, wiring.Member]:
    """The ports of an AXI4-Lite slave, by the names of AMBA's specification."""
    return {
        "s_axil_awaddr": In(address_bits),
        "s_axil_awvalid": In(1),
        "s_axil_awready": Out(1),
        "s_axil_wdata": In(32),
        "s_axil_wstrb": In(4),
        "s_axil_wvalid": In(1),
        "s_axil_wready": Out(1),
        "s_axil_bresp": Out(2),
        "s_axil_bvalid": Out(1),
        "s_axil_bready": In(1),
        "s_axil_araddr": In(address_bits),
        "s_axil_arvalid": In(1),
        "s_axil_arready": Out(1),
        "s_axil_rdata": Out(32),
        "s_axil_rresp": Out(2),
        "s_axil_rvalid": Out(1),
        "s_axil_rready": In(1),
    }


AXI_LITE_PORTS = axi_lite_ports(ADDRESS_BITS)
"""Those of the accelerator."""


class AxiLiteSlave(wiring.Component):
    """The handshakes of AXI4-Lite: what is left are strobes.

    Latency: 1 cycle. Throughput: one access every 2 cycles. Stall rule: an answer waits for the
    bus master, and the next access for the answer.

    Members
    -------
    s_axil_* : the bus
    read : Out(1), with `read_address`: `read_data` is taken in this cycle
    write : Out(1), with `write_address`, `write_data`, and `write_strobes`, one a byte
    """

    def __init__(self, address_bits: int):
        self.address_bits = address_bits
        super().__init__(
            {
                **axi_lite_ports(address_bits),
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
            self.write.eq(self.s_axil_awvalid & self.s_axil_wvalid & ~self.s_axil_bvalid),
            self.write_address.eq(self.s_axil_awaddr),
            self.write_data.eq(self.s_axil_wdata),
            self.write_strobes.eq(self.s_axil_wstrb),
            self.s_axil_awready.eq(self.write),
            self.s_axil_wready.eq(self.write),
            self.s_axil_arready.eq(~self.s_axil_rvalid),
            self.read.eq(self.s_axil_arvalid & self.s_axil_arready),
            self.read_address.eq(self.s_axil_araddr),
        ]
        with m.If(self.write):
            m.d.sync += self.s_axil_bvalid.eq(1)
        with m.Elif(self.s_axil_bready):
            m.d.sync += self.s_axil_bvalid.eq(0)
        with m.If(self.read):
            m.d.sync += [self.s_axil_rvalid.eq(1), self.s_axil_rdata.eq(self.read_data)]
        with m.Elif(self.s_axil_rready):
            m.d.sync += self.s_axil_rvalid.eq(0)
        return m


def select(address: Value, words: Sequence) -> Value:
    """The 32-bit word at byte `address` of `words`; zero where there is none.

    By indexing, which makes a far smaller multiplexer than comparing addresses.
    """
    bits = Cat(Cat(Value.cast(word), Const(0, 32))[:32] for word in words)
    outside = address[:2].any() | (address >> 2 >= len(words))
    return Mux(outside, 0, bits.word_select(address[2 : 2 + (len(words) - 1).bit_length()], 32))
