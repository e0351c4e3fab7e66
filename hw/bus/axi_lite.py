"""The registers on the AXI4-Lite bus: identification, configuration, control, counters."""

from collections.abc import Sequence

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..control.counters import EVENTS, WIDE, Counters, kept
from ..isa.commands import Flag
from ..isa.registers import (
    ADDRESS,
    CONTROL_CLEAR_COUNTERS,
    CONTROL_CLEAR_FLAGS,
    CONTROL_RESET,
    constants,
)
from ..layouts import connect_ports

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


class Registers(wiring.Component):
    """AXI4-Lite slave for the map in `hw.isa.registers`.

    Reading the low word of a 64-bit counter keeps the high word that belongs to it; read the high
    word next.

    Latency: 1 cycle. Throughput: one access every 2 cycles. Stall rule: an answer waits for the
    bus master, and the next access for the answer.

    Members
    -------
    s_axil_* : the bus
    events : In(EVENTS(config)); none may come with `reset`, nor while that lasts
    flags : Out(8), sticky (see commands.Flag)
    reset : Out(1), the host asks for a reset (one cycle)
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                **AXI_LITE_PORTS,
                "events": In(EVENTS(config)),
                "flags": Out(8),
                "reset": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.counters = counters = Counters(self.config)
        m.d.comb += counters.events.eq(self.events)

        m.submodules.bus = bus = AxiLiteSlave(ADDRESS_BITS)
        connect_ports(m, self, bus, AXI_LITE_PORTS)

        # Writes: only CONTROL's lowest byte does anything. All its bits act a cycle later, at once:
        # what a reset stops must not come after the clearing that was written with it.
        control = Signal(3)
        m.d.sync += control.eq(0)
        with m.If(bus.write & (bus.write_address == ADDRESS["control"]) & bus.write_strobes[0]):
            m.d.sync += control.eq(bus.write_data)
        m.d.comb += [
            counters.clear.eq((control & CONTROL_CLEAR_COUNTERS).any()),
            self.reset.eq((control & CONTROL_RESET).any()),
        ]

        flags = Signal(len(Flag))
        m.d.comb += self.flags.eq(flags)
        with m.If((control & CONTROL_CLEAR_FLAGS).any()):
            m.d.sync += flags.eq(self.events.flag_set)
        with m.Else():
            m.d.sync += flags.eq(flags | self.events.flag_set)

        # Reads.
        high = Signal(32)
        counted = kept(self.config)
        wide = [name for name in WIDE if name in counted]
        values = {
            **constants(self.config),
            "status": self.events.busy,
            "flags": flags,
            **{name: getattr(counters, name)[:32] for name in counted},
            **{f"{name}_high": high for name in wide},
        }
        m.d.comb += bus.read_data.eq(select(bus.read_address, [values.get(n, 0) for n in ADDRESS]))
        with m.If(bus.read), m.Switch(bus.read_address):
            for name in wide:
                with m.Case(ADDRESS[name]):
                    m.d.sync += high.eq(getattr(counters, name)[32:])
        return m


def select(address: Value, words: Sequence) -> Value:
    """The 32-bit word at byte `address` of `words`; zero where there is none.

    By indexing, which makes a far smaller multiplexer than comparing addresses.
    """
    bits = Cat(Cat(Value.cast(word), Const(0, 32))[:32] for word in words)
    outside = address[:2].any() | (address >> 2 >= len(words))
    return Mux(outside, 0, bits.word_select(address[2 : 2 + (len(words) - 1).bit_length()], 32))
