"""Fifo: a payload entered at any time leaves in its turn, unchanged; nothing stalls for ever."""

from amaranth import Module, Signal
from amaranth.hdl import Assert, Cover
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from ...hw.lib.fifo import Fifo
from .claims import ends_within, stays


class FifoProof(wiring.Component):
    """Watches one payload, the one entered at a cycle that the solver chooses."""

    def __init__(self, fifo: Fifo, latency: int):
        self.fifo = fifo
        self.latency = latency
        super().__init__({"valid": In(1), "payload": In(fifo.shape), "ready": In(1), "pick": In(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.fifo = fifo = self.fifo
        m.d.comb += [
            fifo.i.valid.eq(self.valid),
            fifo.i.payload.eq(self.payload),
            fifo.o.ready.eq(self.ready),
        ]
        entered, left = Signal(16), Signal(16)
        push = fifo.i.valid & fifo.i.ready
        pop = fifo.o.valid & fifo.o.ready
        m.d.sync += [entered.eq(entered + push), left.eq(left + pop)]
        # The first payload entered in a cycle with `pick` is the one watched.
        chosen, watched, value = Signal(), Signal(16), Signal(fifo.shape)
        with m.If(push & self.pick & ~chosen):
            m.d.sync += [chosen.eq(1), watched.eq(entered), value.eq(fifo.i.payload)]
        with m.If(pop & chosen & (left == watched)):
            m.d.comb += [Assert(fifo.o.payload == value), Cover(watched == fifo.depth)]
        m.d.comb += [
            Assert(entered - left <= fifo.depth),
            Assert(fifo.level == (entered - left)),
            Assert(~fifo.o.valid | (entered != left)),
            Assert(fifo.i.ready | (entered != left)),
        ]
        stays(m, fifo.o.valid, fifo.o.ready, fifo.o.payload)
        # What is held shows within `latency` cycles.
        ends_within(m, ~fifo.o.valid & (entered != left), self.latency)
        return m
