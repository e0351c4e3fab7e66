"""The row mover: activations from tensor memory into the banks of the array's rows.

    ROWS ─► RowWalk ─► a window's pixels ─► each tap's groups ─► Gatherer ─► banks

Rows are made as a convolution needs them, tap after tap; a matrix is one of single pixels. Rows
that are transposed are read the same way, the elements of M rows at a time, of `lanes` pixels; and
rows that are grouped along diagonals (`grouped`).
"""

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..isa.descriptors import Rows
from ..layouts.array import write_signature
from ..layouts.stream import FIELDS
from ..layouts.tensor import PIXEL, READ_PORT, TAP, TURNED, WALK
from ..lib.connect import connect_checked
from ..lib.pipeline import register, times
from .diagonals import Diagonals
from .gather import Gatherer
from .walk import RowWalk, moved


class RowMover(wiring.Component):
    """Take one ROWS after another: window after window of `lanes` rows, group after group.

    Latency: `lanes` + 8 cycles from a ROWS to its first group. Throughput: a group of each lane a
    cycle, also from one ROWS to the next, if a row has more groups than there are lanes, and a
    window's groups lie in different lanes of the memory (`Gatherer`); transposed, if R / M is no
    less than there are lanes, else a pixel a cycle; grouped as `Diagonals` says. Stall rule: waits
    for the memory alone.

    Members
    -------
    rows : In stream of layouts.WALK
    port : Out(layouts.READ_PORT)
    write : Out, the write bus: a chunk is a window, or a group of rows that are transposed
    turned : Out(layouts.TURNED), for training: how a chunk is written
    finished : Out(1), with the last group of a ROWS, or with an IMAGE
    fault : Out(1), a group would have been read that is not in the ROWS' words; it is zeros
    """

    def __init__(self, config: Config):
        self.config = config
        self.walk, self.gatherer = RowWalk(config), Gatherer(config)
        self.diagonals = Diagonals(config) if config.training else None
        self.step = data.StructLayout(
            {
                "pixels": data.ArrayLayout(PIXEL(config), config.lanes),
                "taps": data.ArrayLayout(TAP(config), config.lanes if config.training else 1),
                "source": range(config.tensor_words),
                "words": 16,
                "address": 16,
                "chunk": 8,
                "end": 1,
                **({"turned": TURNED(config)} if config.training else {}),
            }
        )
        """A group for each lane of a window: of each pixel the same tap's, but of rows that are
        grouped."""
        super().__init__(
            {
                "rows": In(stream.Signature(WALK(config))),
                "port": Out(READ_PORT(config)),
                "write": Out(write_signature(config)),
                "finished": Out(1),
                "fault": Out(1),
                **({"turned": Out(TURNED(config))} if config.training else {}),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.walk = walk = self.walk
        m.submodules.gatherer = gatherer = self.gatherer
        connect_checked(m, wiring.flipped(self.rows), walk.i)
        connect_checked(m, gatherer.port, wiring.flipped(self.port))
        connect_checked(m, gatherer.write, wiring.flipped(self.write))
        if self.config.training:
            m.d.comb += self.turned.eq(gatherer.turned)
        # Steps go through three registers, all at once.
        go, active = Signal(), Signal()
        step = self._taps(m, go, active)
        # Of rows that are grouped the taps are gone through once before.
        there = [active & ~self.diagonals.learning if self.diagonals else active]
        for name in ("summed", "placed"):
            valid = Signal(name=name)
            with m.If(go):
                m.d.sync += valid.eq(there[-1])
            there.append(valid)
        summed = Signal(self.step, reset_less=True)
        with m.If(go):
            m.d.sync += summed.eq(step)
        placed, outside = self._place(m, go, summed)
        m.d.comb += [
            go.eq(~there[-1] | gatherer.i.ready),
            gatherer.i.valid.eq(there[-1]),
            gatherer.i.payload.eq(placed),
            self.fault.eq(there[-1] & gatherer.i.ready & outside),
            walk.busy.eq(active | Cat(there[1:]).any() | gatherer.busy),
            self.finished.eq(gatherer.finished | walk.changed),
        ]
        return m

    def _taps(self, m: Module, go, active):
        """The step at hand: taps line by line, each with its groups, once for each window."""
        config, image, windows = self.config, self.walk.image, self.walk.o
        rows, pixels = Signal(FIELDS(Rows)), Signal.like(windows.payload.pixels)
        window, group, left = Signal(range(config.rows // config.lanes)), Signal(14), Signal(16)
        tap_x, tap_y = Signal(4), Signal(4)
        word, lane = Signal(16), Signal(range(config.lanes))
        last, step, tap = Signal(), Signal(self.step), Signal(TAP(config))
        m.d.comb += [
            last.eq(left == 1),
            step.pixels.eq(pixels),
            *(each.eq(tap) for each in step.taps),
            tap.word.eq(word + group),
            tap.lane.eq(lane),
            tap.dx.eq(tap_x * image.dilation_x),
            tap.dy.eq(tap_y * image.dilation_y),
            step.source.eq(rows.source),
            step.words.eq(rows.words),
            step.address.eq(rows.address + (rows.groups - left)),
            step.chunk.eq(window),
            step.end.eq(last & (window == config.rows // config.lanes - 1)),
            windows.ready.eq(~active | (go & last)),
        ]
        count = Value.cast(windows.payload.rows.groups)
        if config.training:
            count = self._turned(m, step, tap, rows, left, last, windows)
            self._grouped(m, go & active, step, tap, pixels, rows, last, windows)
        ends = register(m, "last", {"group": image.groups - 1, "tap": image.kernel_width - 1})
        last_group, last_tap = group == ends["group"], tap_x == ends["tap"]
        to_line = (image.tap_line_words, image.tap_line_lanes)
        to_tap = (image.tap_words, image.tap_lanes)
        words, lanes = map(Mux, (last_tap, last_tap), to_line, to_tap)
        next_word, next_lane = moved(word, lane, words, lanes[: len(lane)], image.pitch)
        with m.If(active & go):
            m.d.sync += [left.eq(left - 1), group.eq(Mux(last_group, 0, group + 1))]
            with m.If(last_group):
                m.d.sync += [
                    tap_x.eq(Mux(last_tap, 0, tap_x + 1)),
                    tap_y.eq(tap_y + last_tap),
                    word.eq(next_word),
                    lane.eq(next_lane),
                ]
        with m.If(windows.ready):
            m.d.sync += active.eq(windows.valid)
        with m.If(windows.ready & windows.valid):
            asked = windows.payload.rows
            m.d.sync += [
                rows.eq(asked),
                pixels.eq(windows.payload.pixels),
                window.eq(Mux(windows.payload.first, 0, window + 1)),
                left.eq(count),
                group.eq(asked.group),
                tap_x.eq(asked.tap_x),
                tap_y.eq(asked.tap_y),
                word.eq(asked.offset_words),
                lane.eq(asked.offset_lanes),
            ]
        return step

    def _turned(self, m: Module, step, tap, rows, left, last, windows):
        """What else a step of transposed rows says: a window is a part of a word, of M rows in each
        of its steps. Returns how many steps the window that comes has."""
        config = self.config
        blocks, parts = config.rows // config.group, config.group // config.lanes
        word, part = Signal(16), Signal(range(parts))
        asked = windows.payload.rows
        block = Signal(range(blocks))
        m.d.comb += [
            block.eq(blocks - left),
            tap.there.eq(~rows.transposed | (times(block, config.group) < rows.rows)),
            step.turned.transposed.eq(rows.transposed),
            step.turned.part.eq(part),
        ]
        with m.If(rows.transposed):
            m.d.comb += [
                step.address.eq(rows.address + word),
                step.chunk.eq(block),
                step.end.eq(last & (part == parts - 1) & (word == rows.groups - 1)),
            ]
        with m.If(windows.ready & windows.valid):
            whole = part == parts - 1
            m.d.sync += [part.eq(Mux(whole, 0, part + 1)), word.eq(word + whole)]
            with m.If(windows.payload.first):
                m.d.sync += [part.eq(0), word.eq(0)]
        return Mux(asked.transposed, blocks, asked.groups)

    def _grouped(self, m: Module, go, step, tap, pixels, rows, last, windows):
        """The steps of rows that are grouped: a window is as many words as there are lanes."""
        lanes, first = self.config.lanes, Signal(16)
        m.submodules.diagonals = diagonals = self.diagonals
        taken = windows.ready & windows.valid
        m.d.comb += [
            diagonals.begin.eq(taken & windows.payload.first & windows.payload.rows.grouped),
            diagonals.go.eq(go & rows.grouped),
            diagonals.tap.eq(tap),
            diagonals.pixels.eq(pixels),
            diagonals.rows.eq(rows.rows),
            step.turned.grouped.eq(rows.grouped),
        ]
        with m.If(rows.grouped):
            m.d.comb += [
                last.eq(diagonals.last & ~diagonals.learning),
                step.taps.eq(diagonals.taps),
                step.pixels.eq(diagonals.turned),
                step.turned.turn.eq(diagonals.turn),
                step.address.eq(rows.address + first),
                step.chunk.eq(diagonals.chunk),
                step.end.eq(last & (first + lanes == rows.groups)),
            ]
        with m.If(taken):
            m.d.sync += first.eq(Mux(windows.payload.first, 0, first + lanes))

    def _place(self, m: Module, go, step):
        """Where each pixel's group lies, and whether one of them is outside the ROWS' words."""
        config, image = self.config, self.walk.image
        placed = Signal(self.gatherer.i.payload.shape(), reset_less=True)
        outside = Signal(config.lanes)
        for n, (pixel, group) in enumerate(zip(step.pixels, placed.groups, strict=True)):
            tap = step.taps[n % len(step.taps)]
            word, lane = moved(pixel.word, pixel.lane, tap.word, tap.lane, image.pitch)
            at, inside = Signal(16, name=f"at_{n}"), Signal(name=f"inside_{n}")
            x, y = pixel.x + tap.dx, pixel.y + tap.dy
            m.d.comb += [
                at.eq(word),
                inside.eq(
                    pixel.there
                    & (tap.there if config.training else 1)
                    & (x >= 0)
                    & (x < image.width)
                    & (y >= 0)
                    & (y < image.height)
                ),
            ]
            with m.If(go):
                m.d.sync += [
                    group.needed.eq(inside & (at < step.words)),
                    outside[n].eq(inside & (at >= step.words)),
                    group.address.eq(step.source + at),
                    group.lane.eq(lane),
                ]
        with m.If(go):
            turned = ("turned",) if config.training else ()
            names = ("address", "chunk", "end", *turned)
            m.d.sync += [placed[name].eq(step[name]) for name in names]
        return placed, outside.any()
