"""Row mover: a ROWS reads nothing but its words, and fills each word of each bank once."""

from amaranth import Module, Signal
from amaranth.hdl import Assert, Assume, Cover
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In

from ...hw.config import Config
from ...hw.isa.commands import Image, Rows
from ...hw.layouts import FIELDS, LIMITS, WALK
from ...hw.tensor.memory import TensorMemory
from ...hw.tensor.rows import RowMover
from .claims import constant, stays

FEW = 2
"""Bits of the numbers that say how much there is, so that the solver is done soon."""
SMALL = 3
"""Bits of all others, but those that say where words lie."""


class RowMoverProof(wiring.Component):
    """One ROWS after another, all alike, after an IMAGE: any that the judge lets pass, with any
    steps. The memory takes reads when it likes."""

    def __init__(self, config: Config):
        self.config = config
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
        m.d.comb += [
            Assume(rows.words != 0),
            Assume(rows.source + rows.words <= config.tensor_words),
            Assume((rows.rows != 0) & (rows.rows <= config.rows)),
            Assume((rows.groups != 0) & (rows.groups < 1 << FEW)),
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
        on_the_way = Signal(TensorMemory.LATENCY)
        m.d.sync += on_the_way.eq(on_the_way << 1 | (port.valid & port.ready))
        m.d.comb += [
            port.ready.eq(self.granted),
            port.there.eq(on_the_way[-1]),
            port.data.eq(self.data),
            *(
                Assert(
                    ~port.valid | ((address >= rows.source) & (address < rows.source + rows.words))
                )
                for address in port.address
            ),
        ]
        # Window after window, and in each group after group.
        windows = config.rows // config.lanes
        window, group = Signal(range(windows)), Signal(FEW)
        last_group, last_window = group == rows.groups - 1, window == windows - 1
        write = mover.write
        asked = Signal(4)
        m.d.sync += asked.eq(asked + (taken & began) - (write.valid & last_group & last_window))
        with m.If(write.valid):
            m.d.comb += [
                Assert(asked != 0),
                Assert(write.chunk == window),
                Assert(write.address == rows.address + group),
                Cover(last_group & last_window & (asked == 2)),
            ]
            m.d.sync += group.eq(group + 1)
            with m.If(last_group):
                m.d.sync += [group.eq(0), window.eq(window + 1)]
                with m.If(last_window):
                    m.d.sync += window.eq(0)
        ends = write.valid & last_group & last_window
        m.d.comb += [
            Assert(mover.finished == (ends | (taken & ~began))),
            Cover(mover.fault),
            Cover(write.valid & (write.data != 0)),
        ]
        return m


def _small(value):
    """Whether a number is of few bits; of a signed one, whether it is around zero."""
    high = value[SMALL:]
    return (high == 0) | (high.all() if value.shape().signed else 0)
