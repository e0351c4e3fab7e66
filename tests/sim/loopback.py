"""A stand-in for the accelerator: answers every packet with itself, inverted, and has a few
registers. Small, so that the transports are tested without the real device."""

from amaranth import Module, Signal
from amaranth.lib import wiring

from heddle.hw.config import Config
from heddle.hw.layouts.stream import beat
from heddle.hw.lib.fifo import Fifo
from heddle.hw.top import signature

REGISTERS = 4


class Loopback(wiring.Component):
    """Ports of `hw.top.Accelerator`. A packet whose first byte is 0xFF is swallowed; then nothing
    more is accepted: a hang."""

    def __init__(self, config: Config):
        self.config = config
        super().__init__(signature(config))

    def elaborate(self, platform):
        m = Module()
        m.submodules.queue = queue = Fifo(beat(self.config), 4)
        stuck, inside = Signal(), Signal()
        poison = ~inside & (self.s_axis.tdata[:8] == 0xFF)
        accepted = self.s_axis.tvalid & self.s_axis.tready
        with m.If(accepted):
            m.d.sync += [inside.eq(~self.s_axis.tlast), stuck.eq(stuck | poison)]
        m.d.comb += [
            self.s_axis.tready.eq(queue.i.ready & ~stuck),
            queue.i.valid.eq(self.s_axis.tvalid & ~stuck & ~poison),
            queue.i.payload.data.eq(~self.s_axis.tdata),
            queue.i.payload.last.eq(self.s_axis.tlast),
            self.m_axis.tvalid.eq(queue.o.valid),
            queue.o.ready.eq(self.m_axis.tready),
            self.m_axis.tdata.eq(queue.o.payload.data),
            self.m_axis.tlast.eq(queue.o.payload.last),
        ]
        registers = [Signal(32, name=f"register_{i}") for i in range(REGISTERS)]
        m.d.comb += [
            self.s_axil.awready.eq(self.s_axil.wvalid & ~self.s_axil.bvalid),
            self.s_axil.wready.eq(self.s_axil.awvalid & ~self.s_axil.bvalid),
            self.s_axil.arready.eq(~self.s_axil.rvalid),
        ]
        with m.If(self.s_axil.bvalid & self.s_axil.bready):
            m.d.sync += self.s_axil.bvalid.eq(0)
        with m.If(self.s_axil.awvalid & self.s_axil.awready):
            m.d.sync += self.s_axil.bvalid.eq(1)
        with m.If(self.s_axil.rvalid & self.s_axil.rready):
            m.d.sync += self.s_axil.rvalid.eq(0)
        with m.If(self.s_axil.arvalid & self.s_axil.arready):
            m.d.sync += self.s_axil.rvalid.eq(1)
        for i, register in enumerate(registers):
            with m.If(self.s_axil.awvalid & self.s_axil.awready & (self.s_axil.awaddr == 4 * i)):
                m.d.sync += register.eq(self.s_axil.wdata)
            with m.If(self.s_axil.arvalid & self.s_axil.arready & (self.s_axil.araddr == 4 * i)):
                m.d.sync += self.s_axil.rdata.eq(register)
        return m
