"""The vector unit's way to tensor memory: the words that it names, in order, and no others."""

from amaranth import Module, Mux, Signal
from amaranth.hdl import Assert, Assume, Cover
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In

from ...hw.config import Config
from ...hw.isa.vector import AXES, strip_spans
from ...hw.layouts.tensor import WORDS
from ...hw.vector.addresses import GROUP, Addresses
from ...hw.vector.loader import Loader
from ...hw.vector.writer import RESULTS, Writer
from .claims import constant, serve, stays

FEW = 2
"""Bits of the numbers that are multiplied, so that the solver is done soon."""


class AddressesProof(wiring.Component):
    """A strip from a tensor's beginning, in any stream that the judge lets pass; groups are taken
    when they like. The claims are of each group as it comes out."""

    def __init__(self, config: Config):
        self.config = config
        few = range(1 << FEW)
        super().__init__(
            {
                "words": In(WORDS(config)),
                "size": In(range(3)),
                "serves_all": In(1),
                "pitch": In(few),
                "steps": In(few).array(AXES),
                "row": In(few),
                "further": In(few),
                "spans": In(few),
                "columns": In(few),
                "lines": In(few),
                "rows": In(few),
                "begin": In(1),
                "ready": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, most = self.config, strip_spans(self.config)
        m.submodules.addresses = addresses = Addresses(config)
        free = ("begin", "ready")
        steps = list(self.steps)
        chosen = [getattr(self, n) for n in self.signature.members if n not in (*free, "steps")]
        constant(m, *chosen, *steps)
        setup, place = addresses.walk.payload.setup, addresses.walk.payload.place
        m.d.comb += [
            Assume(self.words.address + self.words.count <= config.tensor_words),
            Assume((self.spans != 0) & (self.columns != 0) & (self.lines != 0) & (self.rows != 0)),
            Assume((self.size != 3) & ((1 << self.size) * 8 >= config.format.bits)),
            addresses.walk.payload.words.eq(self.words),
            setup.pitch.eq(self.pitch),
            setup.size.eq(self.size),
            setup.serves_all.eq(self.serves_all),
            *(mine.eq(step) for mine, step in zip(setup.steps, steps, strict=True)),
            addresses.walk.payload.row.eq(self.row),
            addresses.walk.payload.cursor.spans.eq(self.further),
            place.left.eq(self.rows),
            addresses.shape.last_span.eq(self.spans - 1),
            addresses.shape.last_column.eq(self.columns - 1),
            addresses.shape.last_line.eq(self.lines - 1),
            addresses.o.ready.eq(self.ready),
        ]
        begun = Signal()
        m.d.comb += addresses.walk.valid.eq(self.begin & ~begun)
        with m.If(addresses.walk.valid & addresses.walk.ready):
            m.d.sync += begun.eq(1)
        group, o = addresses.o.payload, addresses.o
        # No group outside the words.
        offset = group.address - self.words.address
        m.d.comb += Assert(
            ~(o.valid & group.inside)
            | ((group.address >= self.words.address) & (offset < self.words.count))
        )
        # Each where it belongs: span `number`, by division instead of counting.
        number, part = Signal(range(most + 1)), Signal(range(8))
        row, line, image = (Signal(3, name=name) for name in ("row_", "line", "image"))
        where, span, beside = Signal(6), Signal(4), Signal(9)
        each = Signal(4)
        m.d.comb += [
            each.eq((1 << self.size) * 8 // config.format.bits),
            row.eq(number // self.spans),
            line.eq(row // self.columns),
            image.eq(line // self.lines),
            where.eq(
                self.row + (row - line) * steps[0] + (line - image) * steps[1] + image * steps[2]
            ),
            span.eq(Mux(self.serves_all, 0, number % self.spans) + self.further),
            beside.eq((where // config.lanes) * self.pitch + span * each + part),
        ]
        last = part == each - 1
        with m.If(o.valid):
            m.d.comb += [
                Assert(begun & (row < self.rows) & (number < most)),
                Assert(group.lane == where % config.lanes),
                Assert(group.inside == (beside < self.words.count)),
                Assert(~group.inside | (offset == beside)),
                Assert(group.last == last),
                Assert(
                    group.end == ((number == most - 1) | (number == self.spans * self.rows - 1))
                ),
                Cover(group.inside & last & group.end & (image != 0)),
            ]
        with m.If(o.valid & o.ready):
            m.d.sync += part.eq(Mux(last, 0, part + 1))
            with m.If(last):
                m.d.sync += number.eq(Mux(group.end, most, number + 1))
        stays(m, o.valid, o.ready, group)
        return m


class LoaderProof(wiring.Component):
    """Any groups, on a port that takes reads and answers as it likes."""

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "groups": In(stream.Signature(GROUP(config))),
                "granted": In(1),
                "data": In(8 * config.stream_bytes),
                "writing": In(1),
                "size": In(range(3)),
                "start": In(1),
                "ready": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.loader = loader = Loader(self.config)
        wiring.connect(m, wiring.flipped(self.groups), loader.groups)
        port, group = loader.port, self.groups.payload
        taken = serve(m, port, self.granted, self.data)
        m.d.comb += [
            loader.size.eq(self.size),
            loader.start.eq(self.start),
            loader.writing.eq(self.writing),
            loader.o.ready.eq(self.ready),
            # Only what is inside is read, from its own word, and once.
            Assert(~port.valid | (self.groups.valid & group.inside)),
            *(Assert(~port.valid | (a == group.address)) for a in port.address),
            Assert(loader.outside == (self.groups.valid & self.groups.ready & ~group.inside)),
            Assert(~taken | self.groups.ready),
            Assert(~(self.writing & group.writes & (taken | self.groups.ready))),
            Assert(~(self.groups.valid & group.inside & self.groups.ready) | taken),
            # Nothing that comes is lost.
            Assert(~loader.queue.i.valid | loader.queue.i.ready),
            Cover(loader.queue.level == loader.queue.depth),
        ]
        return m


class WriterProof(wiring.Component):
    """Any groups and beats, and a leave to write that comes and goes."""

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "groups": In(stream.Signature(GROUP(config))),
                "beat": In(RESULTS(config)),
                "valid": In(1),
                "grant": In(1),
                "size": In(range(3)),
                "start": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.writer = writer = Writer(config)
        wiring.connect(m, wiring.flipped(self.groups), writer.groups)
        group, port = self.groups.payload, writer.port
        units = len(port.enable) // config.lanes
        taken, writes = Signal(), port.enable.any()
        m.d.comb += [
            writer.i.valid.eq(self.valid),
            writer.i.beat.eq(self.beat),
            writer.grant.eq(self.grant),
            writer.size.eq(self.size),
            writer.start.eq(self.start & ~writer.busy),
            taken.eq(self.groups.valid & self.groups.ready),
            # A group is written when it is taken, if it is inside; whole, in its lane alone.
            Assert(writes == (taken & group.inside)),
            Assert(~writes | self.grant),
            Assert(writer.outside == (taken & ~group.inside)),
            Cover(writes & group.end),
        ]
        for lane in range(config.lanes):
            enable, mine = port.enable.word_select(lane, units), group.lane == lane
            m.d.comb += [
                Assert(enable == (writes & mine).replicate(units)),
                Assert(~writes | ~mine | (port.address[lane] == group.address)),
            ]
        return m
