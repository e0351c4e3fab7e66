"""The accelerator: read this first.

    AXI4-Stream in ──► ┌──────┐ ──► AXI4-Stream out
                       │ Core │
    AXI4-Lite ◄──────► ├──────┤     (commands, payloads and responses: `hw/isa/commands.py`;
                       │ Regs │      registers: `hw/isa/registers.py`)
    AXI4 ◄────────────  Port
                       └──────┘

The host sends commands down one stream and gets one response for each up the other; registers
tell it what the device is and count what the array does. `hw/core.py` shows what lies inside.
"""

from amaranth import ClockDomain, ClockSignal, DomainRenamer, Module, Mux, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .bus.axi import Axi4, AxiLite, AxiStream
from .bus.axi_lite import ADDRESS_BITS
from .config import Config
from .control.registers import Registers
from .copy.port import ExternalPort
from .core import Core
from .lib.connect import connect_checked
from .lib.library import Library


def signature(config: Config) -> wiring.Signature:
    """The ports of an accelerator, seen from it."""
    width = 8 * config.stream_bytes
    return wiring.Signature(
        {
            "s_axis": In(AxiStream(width)),
            "m_axis": Out(AxiStream(width)),
            "s_axil": In(AxiLite(ADDRESS_BITS)),
            **({"m_axi": Out(Axi4(width, config.external_bits))} if config.external_bits else {}),
        }
    )


class Accelerator(wiring.Component):
    """The device as a block with AXI ports of standard names (AMBA AXI4-Stream, AXI4-Lite).

    Throughput: one beat a cycle each way. Both streams may stall at any time; the array inside
    waits only between tiles (see `hw/control/issuer.py`). A reset through the CONTROL register
    stops whatever is under way and empties the device; the bus and the counters live on. After it,
    and after a reset of the whole, the streams wait until everything on its way has run out; none
    of that is counted or raises a flag.

    Members
    -------
    s_axis : In AxiStream, commands in, `8 * config.stream_bytes` bits
    m_axis : Out AxiStream, responses out, as wide
    s_axil : In AxiLite, registers, 32 bits
    m_axi : Out Axi4, external memory, as wide as the streams, if there is one
    """

    def __init__(self, config: Config, library: Library | None = None):
        self.config = config
        self.library = library
        super().__init__(signature(config))

    def elaborate(self, platform):
        m = Module()
        core = Core(self.config, self.library)
        m.submodules.registers = registers = Registers(self.config)

        # The pipelines have no reset, so this one lasts until whatever is on its way has left them.
        # It comes from a register, because it reaches the whole core.
        reset = Signal(init=1)
        # And until external memory owes nothing and is owed nothing.
        owing = Signal()
        last = Core.settle(self.config)
        settle = Signal(range(last + 1), init=last)
        with m.If(registers.reset):
            m.d.sync += settle.eq(last)
        with m.Elif(settle != 0):
            m.d.sync += settle.eq(settle - 1)
        m.d.sync += reset.eq(registers.reset | (settle != 0) | (reset & owing))
        m.domains.core = ClockDomain(local=True)
        m.d.comb += [ClockSignal("core").eq(ClockSignal()), ResetSignal("core").eq(reset)]
        m.submodules.core = DomainRenamer("core")(core)

        connect_checked(m, wiring.flipped(self.s_axil), registers.s_axil)
        if self.config.external_bits:
            m.submodules.port = port = ExternalPort(self.config)
            connect_checked(m, core.external, port.traffic)
            connect_checked(m, port.m_axi, wiring.flipped(self.m_axi))
            m.d.comb += [port.flush.eq(reset), owing.eq(port.busy)]
        m.d.comb += [
            # While the pipelines run out nothing is counted, and no flag is raised.
            registers.events.eq(Mux(registers.reset | reset, 0, core.events)),
            core.flags.eq(registers.flags),
            core.i.valid.eq(self.s_axis.tvalid & ~reset),
            core.i.payload.data.eq(self.s_axis.tdata),
            core.i.payload.last.eq(self.s_axis.tlast),
            self.s_axis.tready.eq(core.i.ready & ~reset),
            self.m_axis.tvalid.eq(core.o.valid & ~reset),
            self.m_axis.tdata.eq(core.o.payload.data),
            self.m_axis.tlast.eq(core.o.payload.last),
            core.o.ready.eq(self.m_axis.tready & ~reset),
        ]
        return m
