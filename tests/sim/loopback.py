"""A stand-in for the accelerator: answers every packet with itself, inverted, and has a few
registers. Small, so that the transports are tested without the real device."""

from amaranth import Module, Signal
from amaranth.lib import wiring

from heddle.hw.config import Config
from heddle.hw.layouts import beat
from heddle.hw.lib.fifo import Fifo
from heddle.hw.top import ports

REGISTERS = 4


class Loopback(wiring.Component):
    """Ports of `hw.top.Accelerator`. A packet whose first byte is 0xFF is swallowed; then nothing
    more is accepted: a hang."""

    def __init__(self, config: Config):
        self.config = config
        super().__init__(ports(config))

    def elaborate(self, platform):
        m = Module()
        m.submodules.queue = queue = Fifo(beat(self.config), 4)
        stuck, inside = Signal(), Signal()
        poison = ~inside & (self.s_axis_tdata[:8] == 0xFF)
        accepted = self.s_axis_tvalid & self.s_axis_tready
        with m.If(accepted):
            m.d.sync += [inside.eq(~self.s_axis_tlast), stuck.eq(stuck | poison)]
        m.d.comb += [
            self.s_axis_tready.eq(queue.i.ready & ~stuck),
            queue.i.valid.eq(self.s_axis_tvalid & ~stuck & ~poison),
            queue.i.payload.data.eq(~self.s_axis_tdata),
            queue.i.payload.last.eq(self.s_axis_tlast),
            self.m_axis_tvalid.eq(queue.o.valid),
            queue.o.ready.eq(self.m_axis_tready),
            self.m_axis_tdata.eq(queue.o.payload.data),
            self.m_axis_tlast.eq(queue.o.payload.last),
        ]
        registers = [Signal(32, name=f"register_{i}") for i in range(REGISTERS)]
        m.d.comb += [
            self.s_axil_awready.eq(self.s_axil_wvalid & ~self.s_axil_bvalid),
            self.s_axil_wready.eq(self.s_axil_awvalid & ~self.s_axil_bvalid),
            self.s_axil_arready.eq(~self.s_axil_rvalid),
        ]
        with m.If(self.s_axil_bvalid & self.s_axil_bready):
            m.d.sync += self.s_axil_bvalid.eq(0)
        with m.If(self.s_axil_awvalid & self.s_axil_awready):
            m.d.sync += self.s_axil_bvalid.eq(1)
        with m.If(self.s_axil_rvalid & self.s_axil_rready):
            m.d.sync += self.s_axil_rvalid.eq(0)
        with m.If(self.s_axil_arvalid & self.s_axil_arready):
            m.d.sync += self.s_axil_rvalid.eq(1)
        for i, register in enumerate(registers):
            with m.If(self.s_axil_awvalid & self.s_axil_awready & (self.s_axil_awaddr == 4 * i)):
                m.d.sync += register.eq(self.s_axil_wdata)
            with m.If(self.s_axil_arvalid & self.s_axil_arready & (self.s_axil_araddr == 4 * i)):
                m.d.sync += self.s_axil_rdata.eq(register)
        return m
