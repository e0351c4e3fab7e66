"""The address generator: the words of a strip's spans in one stream."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..isa.vector import strip_spans
from ..layouts.tensor import WORDS
from .walk import PLACE, SHAPE, STEPS, next_place, next_row

CURSOR = data.StructLayout({"rows": 16, "spans": 16})
SIZES = 3
"""Of an element: 1, 2 or 4 bytes, told by their log2."""


def SETUP() -> data.StructLayout:
    """What a program says of a stream: its pitch, its elements' size, whether one span serves all
    of a row, and its steps."""
    return data.StructLayout({"pitch": 16, "size": range(SIZES), "serves_all": 1, "steps": STEPS})


def WALK(config: Config) -> data.StructLayout:
    """The spans of a strip in a stream: from which `place` on, and which row that is; whether they
    wait for `writes`."""
    return data.StructLayout(
        {
            "setup": SETUP(),
            "words": WORDS(config),
            "cursor": CURSOR,
            "place": PLACE,
            "row": 16,
            "writes": 1,
        }
    )


def GROUP(config: Config) -> data.StructLayout:
    """A group of a span: its word, its lane, and whether it is `inside` the stream's words; the
    `last` of its span; of the last span there is (`end`); to be read when nothing is left of what
    is being written (`writes`)."""
    return data.StructLayout(
        {
            "address": range(config.tensor_words),
            "lane": range(config.lanes),
            "inside": 1,
            "last": 1,
            "end": 1,
            "writes": 1,
        }
    )


class Addresses(wiring.Component):
    """Go through the spans of one strip after another.

    Latency: 5 cycles to the first group. Throughput: a group a cycle. Stall rule: waits for `o`.

    Members
    -------
    shape : In(walk.SHAPE)
    walk : In stream of WALK, taken when all groups of the one before have been given out
    o : Out stream of GROUP
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "shape": In(SHAPE),
                "walk": In(stream.Signature(WALK(config))),
                "o": Out(stream.Signature(GROUP(config))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        lanes, spans = config.lanes, strip_spans(config)
        lane_bits, element = lanes.bit_length() - 1, config.format.bits
        asked, active = Signal(WALK(config), reset_less=True), Signal()
        setup, place = asked.setup, asked.place
        number, group = Signal(range(spans)), Signal(range(32 // element))
        log2 = Signal(2)
        m.d.comb += log2.eq(setup.size + 3 - (element.bit_length() - 1))
        later, step = next_place(m, "place", self.shape, place)
        last_group = (group + 1) >> log2 != 0
        end = (later.left == 0) | (number == spans - 1)
        forward = Signal()
        m.d.comb += [
            forward.eq(~self.o.valid | self.o.ready),
            self.walk.ready.eq(~active),
        ]
        with m.If(active & forward):
            m.d.sync += group.eq(Mux(last_group, 0, group + 1))
            with m.If(last_group):
                m.d.sync += [
                    place.eq(later),
                    asked.row.eq(next_row(asked.row, setup.steps, step)),
                    number.eq(number + 1),
                ]
                with m.If(end):
                    m.d.sync += [active.eq(0), number.eq(0)]
        with m.If(self.walk.ready & self.walk.valid):
            m.d.sync += [active.eq(1), asked.eq(self.walk.payload)]

        def stage(name: str, **values) -> dict[str, Signal]:
            """All stages go on together, or none."""
            registers = {
                key: Signal.like(value, name=f"{name}_{key}", reset_less=key != "valid")
                for key, value in values.items()
            }
            with m.If(forward):
                m.d.sync += [registers[key].eq(value) for key, value in values.items()]
            return registers

        s = stage(
            "counted",
            valid=active,
            row=(asked.row + asked.cursor.rows)[:16],
            span=(Mux(setup.serves_all, 0, place.span) + asked.cursor.spans)[:16],
            group=group,
            log2=log2,
            last=last_group,
            end=end,
            writes=asked.writes,
            pitch=setup.pitch,
            base=asked.words.address,
            words=asked.words.count,
        )
        row, pitch, span, part, log2 = map(s.pop, ("row", "pitch", "span", "group", "log2"))
        s = stage(
            "multiplied",
            **s,
            lane=row[:lane_bits],
            window=row[lane_bits:] * pitch,
            beside=(span << log2) + part,
        )
        offset = s.pop("window") + s.pop("beside")
        s = stage("added", **s, offset=offset)
        offset, base, words = s.pop("offset"), s.pop("base"), s.pop("words")
        s = stage(
            "placed",
            **s,
            inside=offset < words,
            address=(base + offset)[: len(base)],
        )
        m.d.comb += self.o.valid.eq(s.pop("valid"))
        m.d.comb += [self.o.payload[name].eq(value) for name, value in s.items()]
        return m
