"""Where a ROWS' rows begin: a walk over output pixels, line by line and image after image.

ROWS ─► [counters: column, line; place, x, y] ─► [a window's pixels] ─► TapReader
IMAGE ─► how far each step goes
"""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..isa.descriptors import Image, Rows
from ..layouts.stream import FIELDS
from ..layouts.tensor import PIXEL, WALK, WINDOW
from ..lib.pipeline import register, times


def moved(word, lane, words, lanes, pitch):
    """The word and lane of a place that lies a step further: beyond the last lane comes the next
    window."""
    both = lane + lanes
    bits = len(lane)
    return word + words + Mux(both[bits], pitch, 0), both[:bits]


class RowWalk(wiring.Component):
    """Take one ROWS after another: R output pixels each, or as many as one has that is transposed
    or grouped, a window of `lanes` at a time.

    Latency: `lanes` + 1 cycles from a ROWS to its first window. Throughput: a pixel a cycle; so a
    window is there in time if the one before it keeps `o` for `lanes` cycles. Stall rule: waits for
    `o`; an IMAGE waits while its reader is `busy`, which looks at `image` too.

    Members
    -------
    i : In stream of layouts.WALK
    busy : In(1), of the reader: something of a ROWS before is under way
    image : Out, fields of the IMAGE that is in force
    changed : Out(1), pulses with an IMAGE
    o : Out stream of layouts.WINDOW
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "i": In(stream.Signature(WALK(config))),
                "busy": In(1),
                "image": Out(FIELDS(Image)),
                "changed": Out(1),
                "o": Out(stream.Signature(WINDOW(config))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, image, o = self.config, self.image, self.o
        most = config.rows
        if config.training:
            most = max(most, config.activation_groups * config.group)
        rows, active, count = Signal(FIELDS(Rows)), Signal(), Signal(range(most))
        last_pixel, there = Signal.like(count), Signal(range(most + 1))
        """The number of the last pixel; of pixels how many are not zeros."""
        pixels = Signal.like(o.payload.pixels)
        pixel = Signal(PIXEL(config))
        made, last_lane = Signal(), Signal()
        m.d.comb += [
            made.eq(active & (~o.valid | o.ready)),
            last_lane.eq(count % config.lanes == config.lanes - 1),
            pixel.there.eq(count < there),
            o.payload.pixels.eq(pixels),
            o.payload.rows.eq(rows),
        ]
        with m.If(o.ready):
            m.d.sync += o.valid.eq(0)
        with m.If(made):
            # The last `lanes` pixels are the window's.
            for lane in range(config.lanes - 1):
                m.d.sync += pixels[lane].eq(pixels[lane + 1])
            m.d.sync += [
                pixels[-1].eq(pixel),
                o.valid.eq(last_lane),
                o.payload.first.eq(count < config.lanes),
                count.eq(count + 1),
            ]
            with m.If(count == last_pixel):
                m.d.sync += active.eq(0)
        self._step(m, pixel, made, count)

        fields = self.i.payload.fields
        # A ROWS stays at `o` until its last window has been taken.
        free = ~active & (~o.valid | o.ready)
        begins = self.i.valid & self.i.ready & ~self.i.payload.is_image
        m.d.comb += [
            self.changed.eq(self.i.valid & self.i.payload.is_image & free & ~o.valid & ~self.busy),
            self.i.ready.eq(Mux(self.i.payload.is_image, self.changed, free)),
        ]
        with m.If(self.changed):
            m.d.sync += image.eq(fields.image)
        with m.If(begins):
            m.d.sync += [active.eq(1), rows.eq(fields.rows), count.eq(0)]
            m.d.sync += [last_pixel.eq(config.rows - 1), there.eq(fields.rows.rows)]
            if config.training:
                asked, of_words = fields.rows, Signal(range(most + 1))
                m.d.comb += of_words.eq(
                    Mux(asked.transposed, times(asked.groups, config.group), asked.groups)
                )
                with m.If(asked.transposed | asked.grouped):
                    m.d.sync += [
                        last_pixel.eq(of_words - 1),
                        there.eq(of_words - asked.missing),
                    ]
        return m

    def _step(self, m: Module, pixel, made, count):
        """The place and the coordinates of the pixel at hand, then those of the next one."""
        image, asked = self.image, self.i.payload.fields.rows
        column, line = Signal(12), Signal(12)
        word, lane, x, y = (Signal.like(pixel[name]) for name in ("word", "lane", "x", "y"))
        last_column, last_line = Signal(), Signal()
        # An IMAGE is in force a cycle before its first pixel is made.
        last = register(m, "last", {"column": image.out_width - 1, "line": image.out_height - 1})
        m.d.comb += [
            last_column.eq(column == last["column"]),
            last_line.eq(line == last["line"]),
            pixel.word.eq(word),
            pixel.lane.eq(lane),
            pixel.x.eq(x),
            pixel.y.eq(y),
        ]
        # Of images abreast the next one has the neighbouring row.
        mask = Cat(image.abreast > bit for bit in range(7))
        last_abreast = (count & mask) == mask
        row = (0, 1) if self.config.lanes > 1 else (image.pitch, 0)
        words, lanes = (
            Mux(
                last_abreast,
                Mux(
                    last_column,
                    Mux(last_line, image[f"image_{unit}"], image[f"line_{unit}"]),
                    image[f"column_{unit}"],
                ),
                step,
            )
            for unit, step in zip(("words", "lanes"), row, strict=True)
        )
        next_word, next_lane = moved(word, lane, words, lanes[: len(lane)], image.pitch)
        with m.If(made):
            m.d.sync += [word.eq(next_word), lane.eq(next_lane)]
            with m.If(last_abreast):
                m.d.sync += [
                    column.eq(Mux(last_column, 0, column + 1)),
                    x.eq(Mux(last_column, image.first_x, x + image.stride_x)),
                ]
            with m.If(last_abreast & last_column):
                m.d.sync += [
                    line.eq(Mux(last_line, 0, line + 1)),
                    y.eq(Mux(last_line, image.first_y, y + image.stride_y)),
                ]
        with m.If(self.i.ready & self.i.valid & ~self.i.payload.is_image):
            m.d.sync += [
                word.eq(asked.start_words),
                lane.eq(asked.start_lanes),
                column.eq(asked.column),
                line.eq(asked.line),
                x.eq(asked.x),
                y.eq(asked.y),
            ]
