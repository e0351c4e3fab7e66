"""Cutter, ReadChannel and WriteChannel: every beat of a span once, by AXI4's rules; the memory
waits for nobody, and nobody for ever."""

from amaranth import Module, Mux, Signal
from amaranth.hdl import Assert, Assume, Cover
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In

from ...hw.bus.bursts import BURST, SPAN, WRITE_BEAT, Cutter, Limits, ReadChannel, WriteChannel
from ...hw.config import Config
from .claims import ends_within, stays

SMALL = Limits(boundary_log2=5, burst=3, read_room=6, writes_ahead=3, address_bits=8, length_bits=4)
"""Short bursts between near boundaries, so that few cycles show all there is."""
SILENCE = 5
"""Cycles in which nothing moves though everybody outside is willing."""


class CutterProof(wiring.Component):
    """Any spans, and any pauses of who takes the bursts."""

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {"spans": In(stream.Signature(SPAN(SMALL))), "stop": In(1), "ready": In(1)}
        )

    def elaborate(self, platform):
        m = Module()
        size, span = self.config.stream_bytes, self.spans.payload
        m.submodules.cutter = cutter = Cutter(self.config, SMALL)
        wiring.connect(m, wiring.flipped(self.spans), cutter.spans)
        burst = cutter.bursts.payload
        begun, taken = self.spans.valid & self.spans.ready, cutter.bursts.valid & self.ready
        m.d.comb += [
            cutter.stop.eq(self.stop),
            cutter.bursts.ready.eq(self.ready),
            Assume(~self.spans.valid | (span.beats != 0)),
            Assume(span.address % size == 0),
            Assume(~self.stop | ~self.spans.valid),
        ]
        # The span whose bursts leave, and one that waits behind it.
        address, left, end = Signal(SMALL.address_bits), Signal(SMALL.length_bits), Signal()
        waiting, behind = Signal(SPAN(SMALL)), Signal()
        over = taken & (left == burst.beats)
        last_byte = Signal(SMALL.address_bits + 1)
        m.d.comb += last_byte.eq(burst.address + burst.beats * size - 1)
        with m.If(cutter.bursts.valid):
            m.d.comb += [
                Assert(burst.address == address),
                Assert((burst.beats != 0) & (burst.beats <= left) & (burst.beats <= SMALL.burst)),
                Assert(burst.address >> SMALL.boundary_log2 == last_byte >> SMALL.boundary_log2),
                Assert(burst.end == (end & (burst.beats == left))),
                # Not shorter than it need be.
                Assert(
                    (burst.beats == left)
                    | (burst.beats == SMALL.burst)
                    | ((last_byte + 1)[: SMALL.boundary_log2] == 0)
                ),
            ]
        with m.If(taken):
            m.d.sync += [address.eq(address + burst.beats * size), left.eq(left - burst.beats)]
        with m.If(over & behind):
            m.d.sync += [
                address.eq(waiting.address),
                left.eq(waiting.beats),
                end.eq(waiting.end),
                behind.eq(0),
            ]
        with m.If(begun):
            with m.If((left == 0) | (over & ~behind)):
                m.d.sync += [address.eq(span.address), left.eq(span.beats), end.eq(span.end)]
            with m.Else():
                m.d.comb += Assert(~behind | over)
                m.d.sync += [waiting.eq(span), behind.eq(1)]
        with m.If(self.stop):
            m.d.sync += [left.eq(0), behind.eq(0)]
        m.d.comb += [
            Assert(cutter.busy == (left != 0)),
            Cover(over & behind & begun),
            Cover(self.stop & behind),
        ]
        ends_within(m, (left != 0) & self.ready & ~taken & ~self.stop, 1)
        return m


class ReadChannelProof(wiring.Component):
    """Any bursts, answers and pauses. What comes goes through a queue that has its own proof."""

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "bursts": In(stream.Signature(BURST(SMALL))),
                "arready": In(1),
                "rvalid": In(1),
                "rdata": In(8 * config.stream_bytes),
                "rresp": In(2),
                "ready": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.channel = channel = ReadChannel(self.config, SMALL)
        wiring.connect(m, wiring.flipped(self.bursts), channel.bursts)
        bus, burst = channel.m_axi, self.bursts.payload
        begun = self.bursts.valid & self.bursts.ready
        asked, left = bus.arvalid & self.arready, channel.o.valid & self.ready
        m.d.comb += [
            bus.arready.eq(self.arready),
            bus.rvalid.eq(self.rvalid),
            bus.rdata.eq(self.rdata),
            bus.rresp.eq(self.rresp),
            channel.o.ready.eq(self.ready),
            Assume((burst.beats != 0) & (burst.beats <= SMALL.burst)),
        ]
        stays(m, bus.arvalid, self.arready, bus.araddr, bus.arlen)
        # The burst that was taken last, and beats that the memory owes, or that have not left.
        last = Signal(BURST(SMALL))
        waits, owed, open_ = Signal(), Signal(8), Signal(8)
        with m.If(begun):
            m.d.comb += Assert(~waits | asked)
            m.d.sync += [last.eq(burst), waits.eq(1)]
        with m.Elif(asked):
            m.d.sync += waits.eq(0)
        m.d.sync += [
            owed.eq(owed + Mux(asked, bus.arlen + 1, 0) - self.rvalid),
            open_.eq(open_ + Mux(begun, burst.beats, 0) - left),
        ]
        entered = channel.queue.i
        m.d.comb += [
            Assert(bus.arvalid == waits),
            Assert(~waits | ((bus.araddr == last.address) & (bus.arlen + 1 == last.beats))),
            Assume(~self.rvalid | (owed != 0)),
            # The memory never waits, and what it gives finds room.
            Assert(bus.rready & (~self.rvalid | (entered.valid & entered.ready))),
            Assert(~entered.valid | self.rvalid),
            Assert(entered.payload.data == self.rdata),
            Assert(entered.payload.bad == self.rresp[1]),
            Assert(open_ <= SMALL.read_room),
            Assert(channel.busy == (open_ != 0)),
            Cover((open_ == SMALL.read_room) & (owed == 1)),
            Cover(begun & asked & left),
        ]
        room = open_ + burst.beats <= SMALL.read_room
        ends_within(m, self.bursts.valid & self.arready & room & ~begun, 1)
        return m


class WriteChannelProof(wiring.Component):
    """Any bursts and beats, any pauses and errors of the memory."""

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "bursts": In(stream.Signature(BURST(SMALL))),
                "i": In(stream.Signature(WRITE_BEAT(config))),
                "awready": In(1),
                "wready": In(1),
                "bvalid": In(1),
                "bresp": In(2),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.channel = channel = WriteChannel(self.config, SMALL)
        wiring.connect(m, wiring.flipped(self.bursts), channel.bursts)
        wiring.connect(m, wiring.flipped(self.i), channel.i)
        bus, burst = channel.m_axi, self.bursts.payload
        begun, asked = self.bursts.valid & self.bursts.ready, bus.awvalid & self.awready
        moved = bus.wvalid & self.wready
        m.d.comb += [
            bus.awready.eq(self.awready),
            bus.wready.eq(self.wready),
            bus.bvalid.eq(self.bvalid),
            bus.bresp.eq(self.bresp),
            Assume((burst.beats != 0) & (burst.beats <= SMALL.burst)),
        ]
        stays(m, self.i.valid, self.i.ready, self.i.payload, claim=Assume)
        stays(m, bus.awvalid, self.awready, bus.awaddr, bus.awlen)
        stays(m, bus.wvalid, self.wready, bus.wdata, bus.wstrb, bus.wlast)
        # Of the n-th bursts one is followed: by number, as the solver likes.
        numbers = {
            name: Signal(8, name=name) for name in ("taken", "requested", "written", "ended")
        }
        pick, chosen, watched = Signal(8), Signal(), Signal(BURST(SMALL))
        with m.If(begun):
            m.d.sync += numbers["taken"].eq(numbers["taken"] + 1)
        follows = begun & ~chosen & (burst.address[3:] == burst.beats)
        with m.If(follows):
            m.d.sync += [chosen.eq(1), pick.eq(numbers["taken"]), watched.eq(burst)]
        with m.If(asked):
            m.d.sync += numbers["requested"].eq(numbers["requested"] + 1)
        beats = Signal(8)
        with m.If(moved):
            m.d.sync += beats.eq(Mux(bus.wlast, 0, beats + 1))
            with m.If(bus.wlast):
                m.d.sync += numbers["written"].eq(numbers["written"] + 1)
        m.d.sync += numbers["ended"].eq(numbers["ended"] + self.bvalid)
        followed = {
            name: chosen & (number == pick) for name, number in numbers.items() if name != "taken"
        }
        with m.If(followed["requested"] & bus.awvalid):
            m.d.comb += [
                Assert(bus.awaddr == watched.address),
                Assert(bus.awlen + 1 == watched.beats),
            ]
        with m.If(followed["written"] & bus.wvalid):
            m.d.comb += [
                Assert(bus.wlast == (beats + 1 == watched.beats)),
                Cover(bus.wlast & (beats == 2) & (pick == 1)),
            ]
        with m.If(followed["ended"]):
            m.d.comb += Assert(channel.ended == (self.bvalid & watched.end))
        m.d.comb += [
            # A burst is requested, then written, then acknowledged.
            Assert(~bus.wvalid | (numbers["written"] < numbers["requested"])),
            Assume(~self.bvalid | (numbers["ended"] < numbers["written"])),
            Assert(bus.bready),
            Assert(channel.busy == (numbers["ended"] != numbers["taken"])),
            Assert(numbers["taken"] - numbers["ended"] <= SMALL.writes_ahead),
            Assert(channel.failed == (self.bvalid & self.bresp[1])),
            # Beats pass as they come.
            Assert(moved == (self.i.valid & self.i.ready)),
            Assert(~moved | (bus.wdata == self.i.payload.data)),
            Assert(~moved | (bus.wstrb == self.i.payload.strobe)),
            Cover(self.bvalid & (numbers["taken"] - numbers["ended"] == SMALL.writes_ahead)),
        ]
        owes = numbers["ended"] != numbers["written"]
        willing = self.awready & self.wready & self.i.valid & (self.bvalid | ~owes)
        still = ~(begun | asked | moved | self.bvalid)
        ends_within(m, channel.busy & willing & still, SILENCE)
        return m
