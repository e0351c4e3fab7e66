"""Two readers on one port of tensor memory."""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..layouts.tensor import READ_PORT
from ..lib.pipeline import delay
from .memory import TensorMemory


class PortShare(wiring.Component):
    """Let two readers use one port.

    Latency: none. Throughput: the port's. Stall rule: of two reads in one cycle one waits, and is
    the next to be taken.

    Members
    -------
    readers : 2 x In(layouts.READ_PORT)
    port : Out(layouts.READ_PORT)
    """

    def __init__(self, config: Config):
        super().__init__(
            {"readers": In(READ_PORT(config)).array(2), "port": Out(READ_PORT(config))}
        )

    def elaborate(self, platform):
        m = Module()
        one, two = self.readers
        turn, second = Signal(), Signal()
        m.d.comb += [
            second.eq(two.valid & (turn | ~one.valid)),
            self.port.valid.eq(one.valid | two.valid),
            self.port.address.eq(Mux(second, two.address, one.address)),
            one.ready.eq(self.port.ready & ~second),
            two.ready.eq(self.port.ready & second),
        ]
        with m.If(self.port.valid & self.port.ready):
            m.d.sync += turn.eq(~second)
        of_second = delay(m, "of_second", second, TensorMemory.LATENCY)
        for number, reader in enumerate(self.readers):
            m.d.comb += [
                reader.there.eq(self.port.there & (of_second == number)),
                reader.data.eq(self.port.data),
            ]
        return m
