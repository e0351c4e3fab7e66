"""The registers on the AXI4-Lite bus: identification, configuration, control, counters."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..bus.axi import AxiLite
from ..bus.axi_lite import ADDRESS_BITS, AxiLiteSlave, select
from ..config import Config
from ..isa.commands import Flag
from ..isa.registers import (
    ADDRESS,
    CONTROL_CLEAR_COUNTERS,
    CONTROL_CLEAR_FLAGS,
    CONTROL_RESET,
    WIDE,
    constants,
    kept,
)
from ..layouts import connect_checked
from .counters import EVENTS, Counters


class Registers(wiring.Component):
    """AXI4-Lite slave for the map in `hw.isa.registers`.

    Reading the low word of a 64-bit counter keeps the high word that belongs to it; read the high
    word next.

    Latency: 1 cycle. Throughput: one access every 2 cycles. Stall rule: an answer waits for the
    bus master, and the next access for the answer.

    Members
    -------
    s_axil : In AxiLite, the bus
    events : In(EVENTS(config)); none may come with `reset`, nor while that lasts
    flags : Out(8), sticky (see commands.Flag)
    reset : Out(1), the host asks for a reset (one cycle)
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "s_axil": In(AxiLite(ADDRESS_BITS)),
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
        connect_checked(m, wiring.flipped(self.s_axil), bus.s_axil)

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
