"""The registers on the AXI4-Lite bus: identification, configuration, control, counters."""

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .commands import Flag
from .config import Config
from .counters import EVENTS, WIDE, Counters, kept
from .registers import (
    ADDRESS,
    CONTROL_CLEAR_COUNTERS,
    CONTROL_CLEAR_FLAGS,
    CONTROL_RESET,
    constants,
)

ADDRESS_BITS = 12
AXI_LITE_PORTS = {
    "s_axil_awaddr": In(ADDRESS_BITS),
    "s_axil_awvalid": In(1),
    "s_axil_awready": Out(1),
    "s_axil_wdata": In(32),
    "s_axil_wstrb": In(4),
    "s_axil_wvalid": In(1),
    "s_axil_wready": Out(1),
    "s_axil_bresp": Out(2),
    "s_axil_bvalid": Out(1),
    "s_axil_bready": In(1),
    "s_axil_araddr": In(ADDRESS_BITS),
    "s_axil_arvalid": In(1),
    "s_axil_arready": Out(1),
    "s_axil_rdata": Out(32),
    "s_axil_rresp": Out(2),
    "s_axil_rvalid": Out(1),
    "s_axil_rready": In(1),
}
"""AXI4-Lite, by the names of AMBA's specification."""


class Registers(wiring.Component):
    """AXI4-Lite slave for the map in `hw.registers`.

    Reading the low word of a 64-bit counter keeps the high word that belongs to it; read the high
    word next.

    Latency: 1 cycle. Throughput: one access every 2 cycles. Stall rule: an answer waits for the
    bus master, and the next access for the answer.

    Members
    -------
    s_axil_* : the bus
    events : In(EVENTS(config))
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

        # Writes: only CONTROL's lowest byte does anything.
        write = self.s_axil_awvalid & self.s_axil_wvalid & ~self.s_axil_bvalid
        control = Signal(3)
        m.d.comb += [self.s_axil_awready.eq(write), self.s_axil_wready.eq(write)]
        with m.If(write & (self.s_axil_awaddr == ADDRESS["control"]) & self.s_axil_wstrb[0]):
            m.d.comb += control.eq(self.s_axil_wdata)
        with m.If(write):
            m.d.sync += self.s_axil_bvalid.eq(1)
        with m.Elif(self.s_axil_bready):
            m.d.sync += self.s_axil_bvalid.eq(0)
        m.d.comb += counters.clear.eq((control & CONTROL_CLEAR_COUNTERS).any())
        m.d.sync += self.reset.eq((control & CONTROL_RESET).any())

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
        # One word after the other, so that selecting by address makes a small multiplexer.
        words = Cat(Cat(Value.cast(values.get(name, 0)), Const(0, 32))[:32] for name in ADDRESS)
        index = self.s_axil_araddr[2 : 2 + (len(ADDRESS) - 1).bit_length()]
        outside = self.s_axil_araddr[:2].any() | (self.s_axil_araddr >> 2 >= len(ADDRESS))
        read = self.s_axil_arvalid & self.s_axil_arready
        m.d.comb += self.s_axil_arready.eq(~self.s_axil_rvalid)
        with m.If(read):
            m.d.sync += [
                self.s_axil_rvalid.eq(1),
                self.s_axil_rdata.eq(Mux(outside, 0, words.word_select(index, 32))),
            ]
            with m.Switch(self.s_axil_araddr):
                for name in wide:
                    with m.Case(ADDRESS[name]):
                        m.d.sync += high.eq(getattr(counters, name)[32:])
        with m.Elif(self.s_axil_rready):
            m.d.sync += self.s_axil_rvalid.eq(0)
        return m
