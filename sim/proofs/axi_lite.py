"""Registers: the handshake rules of AXI4-Lite, and one response for each request."""

from amaranth import Module, Signal
from amaranth.hdl import Assert, Cover
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from ...hw.bus.axi_lite import ADDRESS_BITS
from ...hw.config import Config
from ...hw.control.counters import EVENTS
from ...hw.control.registers import Registers
from ...hw.isa.registers import ADDRESS, MAGIC
from .claims import stays


class RegistersProof(wiring.Component):
    """A bus master that may do anything, and events that are free."""

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "awaddr": In(ADDRESS_BITS),
                "awvalid": In(1),
                "wdata": In(32),
                "wstrb": In(4),
                "wvalid": In(1),
                "bready": In(1),
                "araddr": In(ADDRESS_BITS),
                "arvalid": In(1),
                "rready": In(1),
                "events": In(EVENTS(config)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.bus = bus = Registers(self.config)
        for name in self.signature.members:
            port = bus.events if name == "events" else getattr(bus.s_axil, name)
            m.d.comb += port.eq(getattr(self, name))

        # What is accepted and not yet answered: nothing, or the one request in response.
        takes = {
            "aw": self.awvalid & bus.s_axil.awready,
            "w": self.wvalid & bus.s_axil.wready,
            "b": bus.s_axil.bvalid & self.bready,
            "ar": self.arvalid & bus.s_axil.arready,
            "r": bus.s_axil.rvalid & self.rready,
        }
        counts = {name: Signal(16, name=f"taken_{name}") for name in takes}
        for name, take in takes.items():
            m.d.sync += counts[name].eq(counts[name] + take)
        for request, response in (("aw", "b"), ("w", "b"), ("ar", "r")):
            open = (counts[request] - counts[response])[:16]
            m.d.comb += [
                Assert(open == getattr(bus.s_axil, f"{response}valid")),
                Cover(counts[response] == 2),
            ]

        stays(m, bus.s_axil.bvalid, self.bready, bus.s_axil.bresp)
        stays(m, bus.s_axil.rvalid, self.rready, bus.s_axil.rdata, bus.s_axil.rresp)

        # Progress: with no answer under way a request is taken at once.
        with m.If(self.awvalid & self.wvalid & ~bus.s_axil.bvalid):
            m.d.comb += Assert(bus.s_axil.awready & bus.s_axil.wready)
        with m.If(self.arvalid & ~bus.s_axil.rvalid):
            m.d.comb += Assert(bus.s_axil.arready)

        # The answer is the one to the address asked.
        was_read, address = Signal(), Signal(ADDRESS_BITS)
        m.d.sync += [was_read.eq(takes["ar"]), address.eq(self.araddr)]
        with m.If(was_read & (address == ADDRESS["magic"])):
            m.d.comb += [Assert(bus.s_axil.rdata == MAGIC), Cover(bus.s_axil.rvalid)]
        with m.If(was_read & (address > max(ADDRESS.values()))):
            m.d.comb += Assert(bus.s_axil.rdata == 0)
        return m
