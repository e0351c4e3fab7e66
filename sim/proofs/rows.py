"""Row mover: a ROWS reads nothing but its words, and fills each word of each bank once."""

from amaranth import Module, Mux, Signal
from amaranth.hdl import Assert, Assume, Cover
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In

from ...hw.config import Config
from ...hw.isa.descriptors import Image, Rows
from ...hw.layouts.stream import FIELDS
from ...hw.layouts.tensor import LIMITS, WALK
from ...hw.tensor.rows import RowMover
from .claims import constant, reads_within, serve, stays

FEW = 2
"""Bits of the numbers that say how much there is, so that the solver is done soon."""
SMALL = 3
"""Bits of all others, but those that say where words lie."""

MATRIX = {
    name: 1
    for name in (
        *("height", "out_height", "kernel_width", "kernel_height"),
        *("groups", "pitch", "column_lanes"),
    )
} | {"width": 7, "out_width": 7}
"""An IMAGE of rows of one group that lie one behind the other."""
WIDE = {"groups": 7, "pitch": 7}
"""The same of rows of more groups."""


class RowMoverProof(wiring.Component):
    """One ROWS after another, all alike, after an IMAGE: any that the judge lets pass, with any
    steps; or, with `only`, any rows of one matrix from its beginning on that are so ("transposed",
    "grouped"), so that a solver gets to their second part. The memory takes reads when it likes."""

    def __init__(self, config: Config, only: str = ""):
        self.config, self.only = config, only
        super().__init__(
            {
                "offered": In(stream.Signature(WALK(config))),
                "image": In(FIELDS(Image)),
                "rows": In(FIELDS(Rows)),
                "granted": In(1),
                "data": In(8 * config.stream_bytes),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, rows, image = self.config, self.rows, self.image
        m.submodules.mover = mover = RowMover(config)
        wiring.connect(m, wiring.flipped(self.offered), mover.rows)
        constant(m, rows, image)
        limited = ("column", "line", "tap_x", "tap_y", "group")
        most_missing, places = 0, rows.address | rows.groups
        if config.training:
            of_grouped = Mux(rows.grouped, config.lanes - 1, 0)
            most_missing = Mux(rows.transposed, config.group - 1, of_grouped)
        m.d.comb += [
            Assume(rows.words != 0),
            Assume(rows.source + rows.words <= config.tensor_words),
            Assume((rows.rows != 0) & (rows.rows <= config.rows)),
            Assume((rows.groups != 0) & (rows.groups < 1 << FEW)),
            Assume(rows.missing <= most_missing),
            Assume(rows.transposed + rows.grouped <= config.training),
            Assume(~rows.grouped | ((places & (config.lanes - 1)) == 0)),
            *(Assume(image[name] != 0) for name in LIMITS.members),
            *(
                Assume(rows[name] < image[limit])
                for name, limit in zip(limited, LIMITS.members, strict=True)
            ),
            *(
                Assume(_small(fields[name]))
                for fields in (rows, image)
                for name in fields.shape().members
                if name not in ("source", "words", "start_words")
            ),
        ]
        if self.only:
            free = (self.only, "source", "words", "groups", "rows", "missing", "address")
            m.d.comb += Assume(rows[self.only])
            m.d.comb += [
                Assume(rows[name] == 0) for name in rows.shape().members if name not in free
            ]
            matrix = MATRIX | (WIDE if self.only == "grouped" else {})
            m.d.comb += [
                Assume(image[name] == matrix.get(name, 0)) for name in image.shape().members
            ]
        # The IMAGE comes first.
        began, payload = Signal(), self.offered.payload
        m.d.comb += [
            Assume(payload.is_image != began),
            Assume(~began | (payload.fields.rows == rows)),
            Assume(began | (payload.fields.image == image)),
        ]
        stays(m, self.offered.valid, self.offered.ready, payload, claim=Assume)
        taken = self.offered.valid & self.offered.ready
        with m.If(taken):
            m.d.sync += began.eq(1)

        port = mover.port
        serve(m, port, self.granted, self.data)
        reads_within(m, port, rows.source, rows.words)
        ends = self._order(m, mover, rows, taken & began)
        m.d.comb += [
            Assert(mover.finished == (ends | (taken & ~began))),
            Cover(mover.fault),
            Cover(mover.write.valid & (mover.write.data != 0)),
        ]
        return m

    def _order(self, m: Module, mover, rows, begins):
        """Window after window, and in each group after group; or, of transposed rows, word after
        word, in each part after part, and in each of these block of M rows after block; or, of
        grouped ones, word after word, in each chunk of rows after chunk, and in each of these turn
        after turn. Returns whether a ROWS ends."""
        config, write = self.config, mover.write
        windows = config.rows // config.lanes
        slow, fast, word = Signal(16), Signal(16), Signal(16)
        last_slow, last_fast, last_word = Signal(), Signal(), Signal()
        chunk, at, each = slow, fast, Mux(rows.grouped, config.lanes, 1)
        m.d.comb += [
            last_fast.eq(fast == rows.groups - 1),
            last_slow.eq(slow == windows - 1),
            last_word.eq(1),
        ]
        if config.training:
            with m.If(rows.transposed):
                m.d.comb += [
                    last_fast.eq(fast == config.rows // config.group - 1),
                    last_slow.eq(slow == config.group // config.lanes - 1),
                    last_word.eq(word == rows.groups - 1),
                ]
            with m.If(rows.grouped):
                m.d.comb += [
                    last_fast.eq(fast == config.lanes - 1),
                    last_slow.eq(slow == windows - 1),
                    last_word.eq(word == rows.groups - config.lanes),
                ]
            chunk = Mux(rows.transposed, fast, slow)
            at = Mux(rows.transposed | rows.grouped, word, fast)
            turned = mover.turned
            m.d.comb += [
                Assert(turned.transposed == (write.valid & rows.transposed)),
                Assert(~turned.transposed | (turned.part == slow)),
                Assert(turned.grouped == (write.valid & rows.grouped)),
                Assert(~turned.grouped | (turned.turn == fast)),
            ]
            if self.only != "grouped":
                m.d.comb += [
                    Cover(turned.transposed & (write.data != 0)),
                    Cover(rows.transposed & mover.finished & (rows.groups == 2)),
                ]
            else:
                m.d.comb += [
                    Cover(turned.grouped & (write.data != 0)),
                    Cover(turned.grouped & (turned.turn == 1) & (write.chunk == 1)),
                ]
        ends = write.valid & last_fast & last_slow & last_word
        asked = Signal(4)
        m.d.sync += asked.eq(asked + begins - ends)
        with m.If(write.valid):
            m.d.comb += [
                Assert(asked != 0),
                Assert(write.chunk == chunk),
                Assert(write.address == rows.address + at),
                Cover(ends & (asked == (1 if self.only == "grouped" else 2))),
            ]
            m.d.sync += fast.eq(fast + 1)
            with m.If(last_fast):
                m.d.sync += [fast.eq(0), slow.eq(slow + 1)]
                with m.If(last_slow):
                    m.d.sync += [slow.eq(0), word.eq(Mux(last_word, 0, word + each))]
        return ends


def _small(value):
    """Whether a number is of few bits; of a signed one, whether it is around zero."""
    high = value[SMALL:]
    return (high == 0) | (high.all() if value.shape().signed else 0)
