"""The accelerator beside a memory: what a board with a processor or PCI Express instantiates.

AXI4-Lite ──► accelerator's registers (below 0x1000), DMA's registers (from 0x1000)
AXI4 ◄──────► Reader ──► Accelerator ──► Writer
     ◄─────────────────► external memory
"""

from amaranth import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .bus.arbiter import AxiArbiter
from .bus.axi import Axi4, AxiLite
from .bus.axi_lite import ADDRESS_BITS, AxiLiteSlave, select
from .bus.bursts import LIMITS, width_of
from .bus.dma import Reader, Writer
from .config import Config
from .isa.dma_registers import (
    ADDRESS,
    BASE,
    CONTROL_ABORT,
    CONTROL_READ,
    CONTROL_WRITE,
    MAGIC,
    REGISTERS,
    VERSION,
)
from .isa.registers import Access
from .lib.connect import connect_checked, connect_ports
from .lib.library import Library
from .top import Accelerator

PAYLOADS = {
    "ar": ("araddr",),
    "aw": ("awaddr", "wdata", "wstrb"),
    "r": ("rdata", "rresp"),
    "b": ("bresp",),
}
"""What goes with a request, and with a response."""
HELD = tuple(r.name for r in REGISTERS if r.access is Access.READ_WRITE)


class MemoryAccelerator(wiring.Component):
    """Accelerator with a DMA of its own, behind AXI4-Lite and AXI4 ports of standard names.

    The host puts packets into memory and tells the DMA where; it takes the responses from there
    (`hw/bus/dma.py` says how both lie in memory, `hw/isa/dma_registers.py` how to say so). External
    memory, if the configuration has one, lies on the same bus, from where a register says on: the
    accelerator reaches nothing else. Neither of the two waits for the other's data
    (`hw/bus/arbiter.py`).
    Throughput and stall rules are those of the parts.

    Members
    -------
    s_axil : In AxiLite, registers
    m_axi : Out Axi4, memory, `8 * config.stream_bytes` bits
    """

    def __init__(self, config: Config, library: Library | None = None):
        self.config = config
        self.library = library
        super().__init__(
            {
                "s_axil": In(AxiLite(BASE.bit_length())),
                "m_axi": Out(Axi4(width_of(config), LIMITS.address_bits)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.accelerator = accelerator = Accelerator(config, self.library)
        m.submodules.reader = reader = Reader(config)
        m.submodules.writer = writer = Writer(config)
        m.submodules.bus = bus = AxiLiteSlave(BASE.bit_length())
        self._share_bus(m, accelerator.s_axil, bus.s_axil)
        held = {name: Signal(32, name=name) for name in HELD}
        dma = self.m_axi
        if config.external_bits:
            dma = self._external(
                m, accelerator.m_axi, Cat(held["external_low"], held["external_high"])
            )
        for half in (reader, writer):
            connect_ports(m, dma, half.m_axi)
        m.d.comb += [
            accelerator.s_axis.tvalid.eq(reader.o.valid),
            accelerator.s_axis.tdata.eq(reader.o.payload.data),
            accelerator.s_axis.tlast.eq(reader.o.payload.last),
            reader.o.ready.eq(accelerator.s_axis.tready),
            writer.i.valid.eq(accelerator.m_axis.tvalid),
            writer.i.payload.data.eq(accelerator.m_axis.tdata),
            writer.i.payload.last.eq(accelerator.m_axis.tlast),
            accelerator.m_axis.tready.eq(writer.i.ready),
        ]
        self._control(m, bus, held, reader, writer)
        return m

    def _external(self, m: Module, external, base: Value):
        """The accelerator's external memory on the bus, from `base` on; returns what is left."""
        m.submodules.arbiter = arbiter = AxiArbiter(width_of(self.config), LIMITS.address_bits)
        connect_checked(m, arbiter.m_axi, wiring.flipped(self.m_axi))
        dma, moved = arbiter.masters
        for name, member in external.signature.members.items():
            ours, theirs = getattr(external, name), getattr(moved, name)
            if member.flow is In:
                m.d.comb += ours.eq(theirs)
            elif name in ("araddr", "awaddr"):
                page = LIMITS.boundary_log2
                m.d.comb += theirs.eq(Cat(ours[:page], ours[page:] + base[page:]))
            else:
                m.d.comb += theirs.eq(ours)
        return dma

    def _share_bus(self, m: Module, accelerator, dma):
        """The address decides who takes a request; nobody does while the other one answers."""

        bus = self.s_axil

        def connect(slave, other, chosen: dict[str, Value]):
            for request, response, channels in (("ar", "r", ("ar",)), ("aw", "b", ("aw", "w"))):
                free = chosen[request] & ~getattr(other, f"{response}valid")
                for channel in channels:
                    valid = getattr(bus, f"{channel}valid")
                    m.d.comb += getattr(slave, f"{channel}valid").eq(valid & free)
                    with m.If(free):
                        ready = getattr(slave, f"{channel}ready")
                        m.d.comb += getattr(bus, f"{channel}ready").eq(ready)
                for name in PAYLOADS[request]:
                    m.d.comb += getattr(slave, name).eq(getattr(bus, name))
                answer = f"{response}valid"
                m.d.comb += getattr(slave, f"{response}ready").eq(getattr(bus, f"{response}ready"))
                with m.If(getattr(slave, answer)):
                    m.d.comb += getattr(bus, answer).eq(1)
                    for name in PAYLOADS[response]:
                        m.d.comb += getattr(bus, name).eq(getattr(slave, name))

        above = {r: getattr(bus, f"{r}addr")[ADDRESS_BITS] for r in ("ar", "aw")}
        connect(accelerator, bus, {r: ~bit for r, bit in above.items()})
        connect(dma, accelerator, above)

    def _control(self, m: Module, bus: AxiLiteSlave, held: dict, reader: Reader, writer: Writer):
        """The DMA's registers; `held` are those that keep what was written."""
        control = Signal(3)
        failed = {half: Signal(name=f"{half}_failed") for half in ("read", "write")}
        values = {
            "magic": MAGIC,
            "version": VERSION,
            "beat_bytes": self.config.stream_bytes,
            "status": Cat(reader.busy, writer.full, *failed.values()),
            "written": writer.written,
            "packets": writer.packets,
            **held,
        }
        words = [values.get(name, 0) for name in ADDRESS]
        m.d.comb += bus.read_data.eq(select(bus.read_address[:ADDRESS_BITS], words))
        with m.If(bus.write & bus.write_strobes.all()), m.Switch(bus.write_address):
            with m.Case(ADDRESS["control"]):
                m.d.comb += control.eq(bus.write_data)
            for name, register in held.items():
                with m.Case(ADDRESS[name]):
                    m.d.sync += register.eq(bus.write_data)
        for half, component in (("read", reader), ("write", writer)):
            with m.If(control & CONTROL_ABORT):
                m.d.sync += failed[half].eq(0)
            with m.Elif(component.failed):
                m.d.sync += failed[half].eq(1)
        m.d.comb += [
            reader.start.eq((control & CONTROL_READ).any()),
            reader.address.eq(Cat(held["source_low"], held["source_high"])),
            reader.beats.eq(held["source_beats"]),
            reader.abort.eq((control & CONTROL_ABORT).any()),
            writer.abort.eq((control & CONTROL_ABORT).any()),
            writer.start.eq((control & CONTROL_WRITE).any()),
            writer.address.eq(Cat(held["target_low"], held["target_high"])),
            writer.beats.eq(held["target_beats"]),
        ]
