"""The copy engine's parts: every byte of a row where it belongs, once, and no other touched."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.hdl import Assert, Assume, Cover
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from ...hw.bus.bursts import Limits
from ...hw.config import Config
from ...hw.copy.inward import Inward
from ...hw.copy.outward import Outward
from ...hw.copy.port import TRAFFIC, ExternalPort
from ...hw.copy.rows import CopyRows
from ...hw.tensor.memory import TensorMemory
from .claims import constant, ends_within, stays

BURSTS = Limits(burst=2, read_room=4, writes_ahead=2, address_bits=4, length_bits=4)
"""Of the port, so that few cycles show all there is."""
BEATS = 2
"""Of a row, one more if it begins inside: there are a first, a middle and a last one."""


class CopyRowsProof(wiring.Component):
    """One COPY again and again, of any fields that the judge lets pass, but of few rows."""

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "valid": In(1),
                "ready": In(1),
                "whole": In(1),
                "host": In(1),
                "line": In(2),
                "external": In(config.external_bits),
                "row_bytes": In(range(8 * config.stream_bytes)),
                "stride": In(32),
                "line_stride": In(32),
                "rows": In(3),
                "tensor": In(range(config.tensor_words)),
                "pitch": In(16),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, size = self.config, 1 << self.config.external_bits
        m.submodules.rows = rows = CopyRows(config)
        names = [name for name in self.signature.members if name not in ("valid", "ready")]
        constant(m, *(getattr(self, name) for name in names))
        m.d.comb += [
            *(rows.copies.payload[name].eq(getattr(self, name)) for name in names),
            rows.copies.valid.eq(self.valid),
            rows.rows.ready.eq(self.ready),
        ]
        row = rows.rows.payload
        taken = rows.rows.valid & self.ready
        stays(m, rows.rows.valid, self.ready, row)
        units = Mux(
            self.whole,
            (self.row_bytes + (config.stream_bytes - 1)) // config.stream_bytes,
            (self.row_bytes + (config.group_bytes - 1)) // config.group_bytes,
        )
        m.d.comb += [
            Assume((self.row_bytes != 0) & (self.rows != 0)),
            Assume(self.external + self.row_bytes <= size),
            Assume(self.tensor + units <= config.tensor_words),
        ]
        # Where it lies, in so many bits that nothing wraps.
        number, line, in_line = Signal(4), Signal(4), Signal(4)
        lane = Signal(range(config.lanes))
        here, line_at, window = Signal(38), Signal(38), Signal(22)
        address, word = Signal(38), Signal(22)
        fresh = number == 0
        first_of_line = Mux(fresh, self.external, line_at)
        m.d.comb += [
            address.eq(Mux(fresh, self.external, here)),
            word.eq(Mux(fresh, self.tensor, window)),
        ]
        final = number + 1 == self.rows
        with m.If(taken):
            m.d.sync += [
                number.eq(number + 1),
                in_line.eq(in_line + 1),
                here.eq(address + self.stride),
                line_at.eq(first_of_line),
                lane.eq(lane + 1),
                window.eq(word),
            ]
            with m.If(in_line + 1 == self.line):
                m.d.sync += [in_line.eq(0), line.eq(line + 1)]
                m.d.sync += [
                    place.eq(first_of_line + self.line_stride) for place in (here, line_at)
                ]
            with m.If(self.whole | (lane == config.lanes - 1)):
                m.d.sync += [lane.eq(0), window.eq(word + self.pitch)]
            with m.If(final):
                m.d.sync += [counter.eq(0) for counter in (number, line, in_line, lane)]
        outside = (address + self.row_bytes > size) | (
            ~self.host & (word + units > config.tensor_words)
        )
        with m.If(rows.rows.valid):
            m.d.comb += [
                Assert(row.outside == outside),
                Assert(outside | (row.address == address)),
                Assert(outside | self.host | (row.word == word)),
                Assert(row.lane == lane),
                Assert(row.end == final),
                Assert(row.row_bytes == self.row_bytes),
                Assert((row.whole == self.whole) & (row.host == self.host)),
                Cover(taken & final & (line == 2) & ~outside),
                Cover(taken & ~outside & (in_line == 0) & (line == 1) & (self.stride >> 30 != 0)),
            ]
        begun = Signal(4)
        ends = taken & final
        m.d.sync += begun.eq(begun + (self.valid & rows.copies.ready) - ends)
        m.d.comb += [
            Assert(~rows.rows.valid | (begun != 0)),
            Assert(begun <= 2),
        ]
        ends_within(m, (begun != 0) & self.ready & ~taken, 1)
        return m


def _row_fields(config: Config) -> dict[str, wiring.Member]:
    """What rows of one kind have in common, but their `host`, which have a bench."""
    return {
        "offset": In(range(config.stream_bytes)),
        "row_bytes": In(range(BEATS * config.stream_bytes + 1)),
        "word": In(range(config.tensor_words)),
        "lane": In(range(config.lanes)),
        "whole": In(1),
        "outside": In(1),
        "at": In(range((BEATS + 1) * config.stream_bytes)),
        "value": In(8),
    }


class _Kind:
    """Rows of one kind, and where the byte `at` of each lies, which is watched."""

    def __init__(self, m: Module, proof, row):
        config, beat = proof.config, proof.config.stream_bytes
        constant(m, *(getattr(proof, name) for name in _row_fields(config)))
        self.size = Mux(proof.whole, beat, config.group_bytes)
        shift = config.group_bytes.bit_length() - 1
        whole_shift = beat.bit_length() - 1
        self.units = Mux(
            proof.whole,
            (proof.row_bytes + (beat - 1)) >> whole_shift,
            (proof.row_bytes + (config.group_bytes - 1)) >> shift,
        )
        self.unit = Mux(proof.whole, proof.at >> whole_shift, proof.at >> shift)
        # Of the word, the byte.
        in_lane = proof.at[:shift] + (proof.lane << shift)
        self.place = Mux(proof.whole, proof.at[:whole_shift], in_lane)
        self.beats = (proof.offset + proof.row_bytes + (beat - 1)) >> whole_shift
        bus = proof.offset + proof.at
        self.beat, self.byte = bus >> whole_shift, bus[:whole_shift]
        m.d.comb += [
            row.address.eq(proof.offset),
            row.row_bytes.eq(proof.row_bytes),
            row.word.eq(proof.word),
            row.lane.eq(proof.lane),
            row.whole.eq(proof.whole),
            row.outside.eq(proof.outside),
            row.end.eq(1),
            Assume(proof.row_bytes != 0),
            Assume(proof.row_bytes <= BEATS * beat),
            Assume(proof.word + self.units <= config.tensor_words),
            Assume(self.unit < self.units),
        ]


class InwardProof(wiring.Component):
    """Rows of one kind, any beats, some of them bad, any pauses. One byte of each is watched, or
    one of the zeros behind it, which the solver chooses: the claims hold for each."""

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                **_row_fields(config),
                "valid": In(1),
                "beat_valid": In(1),
                "data": In(8 * config.stream_bytes),
                "bad": In(BEATS + 1),
                "granted": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, beat = self.config, self.config.stream_bytes
        m.submodules.inward = inward = Inward(config)
        kind = _Kind(m, self, inward.rows.payload)
        constant(m, self.bad)
        beats, port = inward.beats, inward.port
        number = Signal(range(BEATS + 2))
        m.d.comb += [
            inward.rows.valid.eq(self.valid),
            inward.granted.eq(self.granted),
            beats.valid.eq(self.beat_valid),
            beats.payload.data.eq(self.data),
            beats.payload.bad.eq(self.bad.bit_select(number, 1)),
            # The watched byte is the same in each row.
            Assume((number != kind.beat) | (self.data.word_select(kind.byte, 8) == self.value)),
        ]
        stays(m, self.valid, inward.rows.ready, claim=Assume)
        # Each row takes the beats that it reaches into.
        taken, done = beats.valid & beats.ready, self.valid & inward.rows.ready
        after = number + taken
        m.d.sync += number.eq(Mux(done, 0, after))
        m.d.comb += [Assert(after <= kind.beats), Assert(~done | (after == kind.beats))]

        # Those that its beat of the row is made of.
        first = self.at >> (beat.bit_length() - 1) << (beat.bit_length() - 1)
        last_byte = Mux(first + beat < self.row_bytes, first + beat, self.row_bytes) - 1
        from_, to = first + self.offset, last_byte + self.offset
        shift = beat.bit_length() - 1
        spoilt = Cat(
            self.bad[n] & (n >= from_ >> shift) & (n <= to >> shift) for n in range(BEATS + 1)
        ).any()
        wanted = ~self.outside & ~spoilt
        units = config.group_bytes // config.write_bytes
        for lane in range(config.lanes):
            enable, address = port.enable.word_select(lane, units), port.address[lane]
            inside = (address >= self.word) & (address - self.word < kind.units)
            m.d.comb += [
                Assert((enable == 0) | (inside & (self.whole | (self.lane == lane)))),
                Assert((enable == 0) | enable.all()),
                Assert((enable == 0) | self.granted),
            ]
        group = kind.place >> (config.group_bytes.bit_length() - 1)
        here = Signal()
        with m.Switch(group):
            for lane in range(config.lanes):
                with m.Case(lane):
                    enable = port.enable.word_select(lane, units)
                    m.d.comb += here.eq(
                        enable.any() & (port.address[lane] == self.word + kind.unit)
                    )
        written = Signal(2)
        expected = Mux(self.at < self.row_bytes, self.value, 0)
        with m.If(here):
            m.d.comb += Assert(port.data.word_select(kind.place, 8) == expected)
        with m.If(inward.finished):
            m.d.comb += [
                Assert(written + here == wanted),
                Cover(wanted & (kind.beats == BEATS + 1) & (kind.unit != 0) & taken),
                Cover(spoilt & (written == 0)),
            ]
            m.d.sync += written.eq(0)
        with m.Else():
            m.d.sync += written.eq(written + here)
        open_ = Signal(4)
        m.d.sync += open_.eq(open_ + done - inward.finished)
        m.d.comb += Assert((open_ != 0) | ~inward.finished)
        willing = self.granted & self.beat_valid & (self.valid | (open_ != 0))
        ends_within(m, willing & ~taken & ~port.enable.any() & ~inward.finished & ~done, 4)
        return m


class OutwardProof(wiring.Component):
    """Rows of one kind, any words, any pauses. One byte of each is watched, which the solver
    chooses and which does not change: the claims hold for each."""

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                **_row_fields(config),
                "valid": In(1),
                "granted": In(1),
                "data": In(8 * config.stream_bytes),
                "ready": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, beat = self.config, self.config.stream_bytes
        m.submodules.outward = outward = Outward(config)
        kind = _Kind(m, self, outward.rows.payload)
        port, beats = outward.port, outward.beats
        taken = port.valid & port.ready
        there, watched = Signal(TensorMemory.LATENCY), Signal(TensorMemory.LATENCY)
        m.d.sync += [
            there.eq(there << 1 | taken),
            watched.eq(watched << 1 | (taken & (port.address[0] == self.word + kind.unit))),
        ]
        m.d.comb += [
            outward.rows.valid.eq(self.valid),
            port.ready.eq(self.granted),
            port.there.eq(there[-1]),
            port.data.eq(self.data),
            beats.ready.eq(self.ready),
            Assume(self.at < self.row_bytes),
            Assume(~watched[-1] | (self.data.word_select(kind.place, 8) == self.value)),
            # Nothing is read but the row's words.
            *(
                Assert(~taken | ((at >= self.word) & (at - self.word < kind.units)))
                for at in port.address
            ),
        ]
        stays(m, self.valid, outward.rows.ready, claim=Assume)
        number = Signal(range(BEATS + 2))
        leaves = beats.valid & self.ready
        final = number + 1 == kind.beats
        m.d.sync += number.eq(Mux(leaves, Mux(final, 0, number + 1), number))
        strobes = []
        for byte in range(beat):
            at = Signal(8, name=f"at_{byte}")
            m.d.comb += at.eq(number * beat + byte)
            inside = (at >= self.offset) & (at < self.offset + self.row_bytes)
            strobes.append(inside & ~self.outside)
        with m.If(beats.valid):
            data = beats.payload.data.word_select(kind.byte, 8)
            m.d.comb += [
                Assert(beats.payload.strobe == Cat(strobes)),
                Assert((number != kind.beat) | (data == self.value)),
                Cover(final & (number == BEATS) & ~self.outside & taken),
            ]
        stays(m, beats.valid, self.ready, beats.payload.strobe)
        begun, open_ = self.valid & outward.rows.ready, Signal(4)
        m.d.sync += open_.eq(open_ + begun - (leaves & final))
        m.d.comb += Assert(~beats.valid | (open_ != 0))
        willing = self.granted & self.ready & (open_ != 0)
        ends_within(m, willing & ~leaves & ~taken & ~there.any(), 4)
        return m


class ExternalPortProof(wiring.Component):
    """Any traffic until a reset, which may come at any time, and any memory that answers what it
    was asked."""

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "traffic": In(TRAFFIC(config, BURSTS)),
                "reset": In(1),
                "arready": In(1),
                "rvalid": In(1),
                "awready": In(1),
                "wready": In(1),
                "bvalid": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.port = port = ExternalPort(self.config, BURSTS)
        wiring.connect(m, wiring.flipped(self.traffic), port.traffic)
        bus, traffic, flush = port.m_axi, self.traffic, port.flush
        # A reset lasts until nothing is under way.
        flushing = Signal()
        m.d.sync += flushing.eq(flush & port.busy)
        m.d.comb += [
            flush.eq(self.reset | flushing),
            bus.arready.eq(self.arready),
            bus.rvalid.eq(self.rvalid),
            bus.awready.eq(self.awready),
            bus.wready.eq(self.wready),
            bus.bvalid.eq(self.bvalid),
        ]
        for bursts in (traffic.reads, traffic.writes):
            beats = bursts.payload.beats
            m.d.comb += Assume((beats != 0) & (beats <= BURSTS.burst))
        asked, gives = bus.arvalid & self.arready, self.rvalid & bus.rready
        wants, moved = bus.awvalid & self.awready, bus.wvalid & self.wready
        owed, due = Signal(8), Signal(8)
        """Beats that the memory owes, and that it is owed."""
        unanswered = Signal(4)
        m.d.sync += [
            owed.eq(owed + Mux(asked, bus.arlen + 1, 0) - gives),
            due.eq(due + Mux(wants, bus.awlen + 1, 0) - moved),
            unanswered.eq(unanswered + (moved & bus.wlast) - self.bvalid),
        ]
        # Beats that came from the engine and have not left.
        came = traffic.goes.valid & traffic.goes.ready & ~flush
        held = Signal(4)
        m.d.sync += held.eq(Mux(port.busy, held + came - (moved & (held != 0)), came))
        m.d.comb += [
            Assume(~self.rvalid | (owed != 0)),
            Assume(~self.bvalid | (unanswered != 0)),
            Assert(~moved | (due != 0)),
            # Nothing is written that the engine did not give.
            Assert(~moved | (held != 0) | (bus.wstrb == 0)),
            # When it is over nobody owes anything, and no beat is left for later bursts.
            Assert(
                port.busy
                | ((owed == 0) & (due == 0) & (unanswered == 0) & ~bus.arvalid & ~bus.awvalid)
            ),
            Assert(~flushing | port.busy | ~port.queue.o.valid),
            Assert(~flush | bus.rready),
            Cover(flushing & moved & (bus.wstrb == 0) & (owed != 0)),
            Cover(flushing & ~port.busy),
        ]
        stays(m, bus.wvalid, self.wready, bus.wdata, bus.wlast)
        stays(m, bus.awvalid, self.awready, bus.awaddr, bus.awlen)
        stays(m, bus.arvalid, self.arready, bus.araddr, bus.arlen)
        willing = self.arready & self.awready & self.wready
        willing &= (self.rvalid | (owed == 0)) & (self.bvalid | (unanswered == 0))
        still = ~(asked | gives | wants | moved | self.bvalid)
        ends_within(m, flush & port.busy & willing & still, 5)
        return m
