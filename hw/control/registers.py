"""The registers on the AXI4-Lite bus: identification, configuration, control, counters."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..bus.axi import AxiLite
from ..bus.axi_lite import ADDRESS_BITS, AxiLiteSlave, select
from ..config import Config
from ..isa.codes import Flag
from ..isa.engine_counters import BASE, engine_places
from ..isa.registers import (
    ADDRESS,
    CONTROL_CLEAR_COUNTERS,
    CONTROL_CLEAR_FLAGS,
    CONTROL_RESET,
    FIRST,
    WIDE,
    constants,
    kept,
)
from ..lib.connect import connect_checked
from .counters import EVENTS, Counters
from .tally import Tally

BLOCK_BITS = 8
"""Of an address within the block that the engines' counters have, which `BASE` begins."""


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
    flags : Out(8), sticky (see codes.Flag)
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
        first = select(bus.read_address, [values.get(register.name, 0) for register in FIRST])
        m.d.comb += bus.read_data.eq(first)
        if engine_places(self.config):
            self._engines(m, bus, counters.clear)
        with m.If(bus.read), m.Switch(bus.read_address):
            for name in wide:
                with m.Case(ADDRESS[name]):
                    m.d.sync += high.eq(getattr(counters, name)[32:])
        return m

    def _engines(self, m: Module, bus: AxiLiteSlave, clear):
        """The engines' counters, each at the place that its address has in the tally."""
        places = engine_places(self.config)
        m.submodules.engines = engines = Tally(max(places.values()) + 1)
        block, within = bus.read_address[BLOCK_BITS:], bus.read_address[:BLOCK_BITS]
        here = (block == BASE >> BLOCK_BITS) & (within < 4 * engines.size) & (within[:2] == 0)
        m.d.comb += [
            engines.clear.eq(clear),
            engines.read.eq(bus.read & here),
            engines.index.eq(within >> 2),
            *(engines.events[place].eq(self.events[name]) for name, place in places.items()),
        ]
        with m.If(here):
            m.d.comb += bus.read_data.eq(engines.value)
