"""Two AXI4 masters on one bus."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..lib.fifo import Fifo
from .axi import Axi4

MASTERS = 2
"""As many as one bit of an ID tells apart."""
WRITES_AHEAD = 4
"""Bursts that were requested, and whose data have not passed."""
REQUEST = ("addr", "len", "size", "burst", "cache", "prot")


class AxiArbiter(wiring.Component):
    """Let two masters use one bus; a request's ID is its master's number.

    Latency: none. Throughput: the bus's. Stall rule: of two requests in one cycle one waits, and is
    the next to be taken; the data of writes pass in the order of their requests. Answers go to
    whose ID they bear, so one master's wait for nothing of the other's; on the bus they would, so
    masters must take what they asked for at once.

    Members
    -------
    masters : 2 x In(Axi4)
    m_axi : Out Axi4
    """

    def __init__(self, width: int, address_bits: int):
        self.order = Fifo(1, WRITES_AHEAD)
        """Whose data are to pass."""
        bus = Axi4(width, address_bits)
        super().__init__({"masters": In(bus).array(MASTERS), "m_axi": Out(bus)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.order = order = self.order
        self._request(m, "ar", 1)
        whose = self._request(m, "aw", order.i.ready)
        bus, (one, two) = self.m_axi, self.masters
        data = order.o.payload & order.o.valid
        m.d.comb += [
            order.i.valid.eq(bus.awvalid & bus.awready),
            order.i.payload.eq(whose),
            bus.wvalid.eq(order.o.valid & Mux(data, two.wvalid, one.wvalid)),
            *(
                getattr(bus, name).eq(Mux(data, getattr(two, name), getattr(one, name)))
                for name in ("wdata", "wstrb", "wlast")
            ),
            order.o.ready.eq(bus.wvalid & bus.wready & bus.wlast),
            bus.rready.eq(Mux(bus.rid, two.rready, one.rready)),
            bus.bready.eq(Mux(bus.bid, two.bready, one.bready)),
        ]
        for number, master in enumerate(self.masters):
            m.d.comb += [
                master.wready.eq(bus.wready & order.o.valid & (order.o.payload == number)),
                master.rvalid.eq(bus.rvalid & (bus.rid == number)),
                master.bvalid.eq(bus.bvalid & (bus.bid == number)),
                *(
                    getattr(master, name).eq(getattr(bus, name))
                    for name in ("rid", "rdata", "rresp", "rlast", "bid", "bresp")
                ),
            ]
        return m

    def _request(self, m: Module, channel: str, free):
        """One of the masters' requests on the bus, while that is `free`; returns whose it is."""

        def of(bus, name: str):
            return getattr(bus, channel + name)

        bus, (one, two) = self.m_axi, self.masters
        # What was offered stays; else it is the turn of who did not have the last one.
        waiting, turn, chosen = (
            Signal(name=f"{channel}_{name}") for name in ("waiting", "turn", "chosen")
        )
        second = Mux(waiting, chosen, of(two, "valid") & (turn | ~of(one, "valid")))
        m.d.sync += [waiting.eq(of(bus, "valid") & ~of(bus, "ready")), chosen.eq(second)]
        with m.If(of(bus, "valid")):
            m.d.sync += turn.eq(~second)
        m.d.comb += [
            of(bus, "valid").eq(Cat(of(one, "valid"), of(two, "valid")).any() & free),
            of(bus, "id").eq(second),
            of(one, "ready").eq(of(bus, "ready") & free & ~second),
            of(two, "ready").eq(of(bus, "ready") & free & second),
            *(of(bus, name).eq(Mux(second, of(two, name), of(one, name))) for name in REQUEST),
        ]
        return second
