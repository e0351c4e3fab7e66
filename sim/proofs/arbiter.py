"""AxiArbiter: each master sees its own requests answered, as if the bus were its own."""

from amaranth import Array, Module, Mux, Signal
from amaranth.hdl import Assert, Assume, Cover
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from ...hw.bus.arbiter import MASTERS, REQUEST, WRITES_AHEAD, AxiArbiter
from ...hw.bus.axi import Axi4
from .claims import ends_within, stays

WIDTH, ADDRESS_BITS = 8, 4
DATA = ("wdata", "wstrb", "wlast")
READ = ("rdata", "rresp", "rlast")


class ArbiterProof(wiring.Component):
    """Any masters that keep what they offer, and any memory: it may hold any channel up, and answer
    whom it owes in any order."""

    def __init__(self):
        bus = Axi4(WIDTH, ADDRESS_BITS)
        super().__init__({"masters": In(bus).array(MASTERS), "bus": In(bus.flip())})

    def elaborate(self, platform):
        m = Module()
        m.submodules.arbiter = arbiter = AxiArbiter(WIDTH, ADDRESS_BITS)
        bus = arbiter.m_axi
        wiring.connect(m, bus, wiring.flipped(self.bus))
        for mine, its in zip(self.masters, arbiter.masters, strict=True):
            wiring.connect(m, wiring.flipped(mine), its)

        def passes(one, channel: str):
            return getattr(one, f"{channel}valid") & getattr(one, f"{channel}ready")

        for channel in ("ar", "aw"):
            offer = [getattr(bus, channel + name) for name in REQUEST]
            stays(m, getattr(bus, f"{channel}valid"), getattr(bus, f"{channel}ready"), *offer)
            for number, one in enumerate(self.masters):
                mine = [getattr(one, channel + name) for name in REQUEST]
                ready = getattr(one, f"{channel}ready")
                stays(m, getattr(one, f"{channel}valid"), ready, *mine, claim=Assume)
                # What is taken of one is on the bus, with its number, and nothing else is.
                m.d.comb += [
                    Assert(
                        passes(one, channel)
                        == (passes(bus, channel) & (getattr(bus, f"{channel}id") == number))
                    ),
                    *(
                        Assert(~passes(one, channel) | (ours == theirs))
                        for ours, theirs in zip(mine, offer, strict=True)
                    ),
                ]
                # While requests pass, nobody waits for more than one of the other's.
                other = passes(self.masters[1 - number], channel)
                waits, passed = getattr(one, f"{channel}valid") & ~ready, Signal(2)
                m.d.sync += passed.eq(Mux(waits, passed + (other & ~passed.all()), 0))
                m.d.comb += Assert(passed <= 1)

        # Whose data are to come, the first in place 0.
        order = Array(Signal(name=f"whose_{i}") for i in range(WRITES_AHEAD + 1))
        count, ends = Signal(range(WRITES_AHEAD + 2)), passes(bus, "w") & bus.wlast
        asked = passes(bus, "aw")
        m.d.sync += count.eq(count + asked - ends)
        with m.If(ends):
            m.d.sync += [order[i].eq(order[i + 1]) for i in range(WRITES_AHEAD)]
        with m.If(asked):
            m.d.sync += order[count - ends].eq(bus.awid)
        m.d.comb += [
            Assert(count <= WRITES_AHEAD),
            Assert(~bus.wvalid | (count != 0)),
        ]
        stays(m, bus.wvalid, bus.wready, *(getattr(bus, name) for name in DATA))
        for number, one in enumerate(self.masters):
            data = [getattr(one, name) for name in DATA]
            stays(m, one.wvalid, one.wready, *data, claim=Assume)
            theirs = passes(bus, "w") & (order[0] == number)
            m.d.comb += [
                Assert(passes(one, "w") == theirs),
                *(Assert(~theirs | (getattr(bus, n) == getattr(one, n))) for n in DATA),
                # Answers by their numbers, whatever the other one does.
                Assert(one.rvalid == (bus.rvalid & (bus.rid == number))),
                Assert(one.bvalid == (bus.bvalid & (bus.bid == number))),
                *(Assert(~one.rvalid | (getattr(bus, n) == getattr(one, n))) for n in READ),
                Assert(~one.bvalid | (bus.bresp == one.bresp)),
                Assert(~(bus.rvalid & (bus.rid == number)) | (bus.rready == one.rready)),
                Assert(~(bus.bvalid & (bus.bid == number)) | (bus.bready == one.bready)),
                Cover(passes(one, "w") & one.wlast & (count == 3) & (order[1] != number)),
            ]
        # No deadlock: a burst whose data are there passes on a willing bus.
        there = Mux(order[0], self.masters[1].wvalid, self.masters[0].wvalid)
        ends_within(m, (count != 0) & there & bus.wready & ~passes(bus, "w"), 1)
        wants = self.masters[0].awvalid | self.masters[1].awvalid
        ends_within(m, wants & bus.awready & (count != WRITES_AHEAD) & ~asked, 0)
        reads = self.masters[0].arvalid | self.masters[1].arvalid
        ends_within(m, reads & bus.arready & ~passes(bus, "ar"), 0)
        return m
