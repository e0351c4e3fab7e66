"""The squares of a PRUNE's tensor, read one after another."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..layouts.engines import PRUNE
from ..layouts.tensor import READ_PORT
from ..lib.connect import connect_checked
from ..tensor.beats import BeatReader
from .square import ELEMENT_BITS, PIECE


def gives_squares(config: Config) -> dict:
    """Members of what reads the squares of a PRUNE (`SquareReader`)."""
    return {
        "begin": In(1),
        "prune": In(PRUNE(config)),
        "free": In(1),
        "begun": Out(1),
        "port": Out(READ_PORT(config)),
        "o": Out(wiring.Signature({"valid": Out(1), "piece": Out(PIECE(config))})),
        "done": Out(1, init=1),
        "outside": Out(1),
    }


class SquareReader(wiring.Component):
    """Read the squares of M rows and M columns, along the rows first, each row group by group.

    Latency: 6 cycles from `begin` to the first group. Throughput: a group a cycle; a word is read
    for each row of windows and part. Stall rule: waits for the memory, and before each square for
    `free`.

    Members
    -------
    begin : In(1), with `prune`, In(layouts.PRUNE), which stays
    free : In(1), whoever takes the groups has room for a square
    begun : Out(1), a square's groups will come
    port : Out(layouts.READ_PORT)
    o : Out({valid, piece})
    done : Out(1), no square is left to begin, from the cycle after the last one has
    outside : Out(1), pulses: the next square would not be in the PRUNE's words, and is not read
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__(gives_squares(config))

    def elaborate(self, platform):
        m = Module()
        config, prune = self.config, self.prune
        m.submodules.reader = reader = BeatReader(config)
        connect_checked(m, reader.port, wiring.flipped(self.port))
        windows = config.group // config.lanes
        parts = ELEMENT_BITS // config.format.bits
        log2 = windows.bit_length() - 1
        # How far in the tensor's words the row of squares begins, the square, and its window.
        row, square, window = Signal(20), Signal(20), Signal(20)
        left, rows_left, windows_left = Signal(12), Signal(12), Signal(range(windows + 1))
        over = square + (prune.pitch << log2) - prune.pitch + parts > prune.words.count
        m.d.comb += [
            reader.words.payload.address.eq(prune.words.address + window),
            reader.words.payload.count.eq(parts),
            reader.words.valid.eq(windows_left != 0),
        ]
        with m.If(reader.words.valid & reader.words.ready):
            m.d.sync += [window.eq(window + prune.pitch), windows_left.eq(windows_left - 1)]
        with m.If(~self.done & (windows_left == 0) & self.free):
            m.d.comb += [self.begun.eq(~over), self.outside.eq(over)]
            m.d.sync += [
                windows_left.eq(windows),
                window.eq(square),
                square.eq(square + parts),
                left.eq(left - 1),
            ]
            with m.If(left == 1):
                m.d.sync += [
                    row.eq(row + (prune.pitch << log2)),
                    square.eq(row + (prune.pitch << log2)),
                    left.eq(prune.outputs),
                    rows_left.eq(rows_left - 1),
                    self.done.eq(rows_left == 1),
                ]
            with m.If(over):
                m.d.sync += [self.done.eq(1), windows_left.eq(0)]
        with m.If(self.begin):
            m.d.sync += [
                *(signal.eq(0) for signal in (row, square)),
                left.eq(prune.outputs),
                rows_left.eq(prune.inputs),
                self.done.eq(0),
            ]
        self._deal(m, reader, parts)
        return m

    def _deal(self, m: Module, reader: BeatReader, parts: int):
        """A word's groups, lane by lane: of the rows of a window, its words part by part."""
        config, piece = self.config, self.o.piece
        lane, part = Signal(range(config.lanes)), Signal(range(parts))
        window = Signal(range(config.group // config.lanes))
        last_lane, last_part = lane == config.lanes - 1, part == parts - 1
        last_window = window == config.group // config.lanes - 1
        m.d.comb += [
            self.o.valid.eq(reader.o.valid),
            *(row.eq(Cat(lane, window)) for row in piece.rows),
            piece.part.eq(part),
            piece.whole.eq(last_lane & last_part & last_window),
            piece.data.eq(reader.o.payload.data.word_select(lane, 8 * config.group_bytes)),
            reader.o.ready.eq(last_lane),
        ]
        with m.If(reader.o.valid):
            m.d.sync += lane.eq(Mux(last_lane, 0, lane + 1))
            with m.If(last_lane):
                m.d.sync += part.eq(Mux(last_part, 0, part + 1))
                with m.If(last_part):
                    m.d.sync += window.eq(window + 1)
        # A square has whole windows, of which there is a power of two: the counters come around.
