"""The squares of a PRUNE whose tensor is the weights alone that a matrix keeps, and their places.

indices of M columns ─► rows ─┐
weights of M columns ─────────┴─► M elements of a square, N times; the others are zeros
"""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..isa.maps import INDEX_BITS
from ..layouts.engines import PRUNE
from ..layouts.tensor import READ_PORT
from ..lib.connect import connect_checked
from ..lib.pipeline import times
from ..tensor.beats import BeatReader
from .places import Places
from .square import ELEMENT_BITS, PIECE


class KeptReader(wiring.Component):
    """Read the squares of M rows and M columns, along the rows first: N times M weights of each.

    Latency: N + 2 M + 10 cycles from `begin` to the first weight of FP16's. Throughput: a square in
    some N (2 * 32 / bits + 10) cycles and as many as it has groups. Stall rule: waits for the
    memory, and before each square for `free`.

    Members
    -------
    as of `SquareReader`; `outside` also pulses for indices that would not be in the PRUNE's region
    """

    def __init__(self, config: Config):
        self.config = config
        self.of_lane = Signal(range(config.lanes))
        """Where the square's weights lie in their words."""
        super().__init__(
            {
                "begin": In(1),
                "prune": In(PRUNE(config)),
                "free": In(1),
                "begun": Out(1),
                "port": Out(READ_PORT(config)),
                "o": Out(wiring.Signature({"valid": Out(1), "piece": Out(PIECE(config))})),
                "done": Out(1, init=1),
                "outside": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, prune = self.config, self.prune
        m.submodules.reader = reader = BeatReader(config)
        m.submodules.places = places = Places(config, backward=False)
        connect_checked(m, reader.port, wiring.flipped(self.port))
        parts = ELEMENT_BITS // config.format.bits
        number, plane = Signal(range(config.group * parts)), Signal(range(config.group + 1))
        reach, place = Signal(20), Signal(20)
        """Words from a group's first weights to its last ones, and to those at hand."""
        stride = times(prune.pitch, config.rows // config.lanes)
        rows = Signal(data.ArrayLayout(range(config.group), config.group), reset_less=True)
        last = plane == prune.kept - 1
        there, inside = reader.o.valid, places.indices.word < prune.region.count
        m.d.comb += [
            places.start.eq(self.begin),
            places.payloads.indices.eq(prune.forward_indices),
            places.payloads.pitch.eq(prune.forward_pitch),
            places.n.eq(prune.kept),
            places.squares.eq(prune.outputs),
            places.last.eq(last),
            reader.words.payload.address.eq(prune.words.address + place),
            reader.words.payload.count.eq(parts),
        ]
        start, over = self._squares(m, reach, place, parts)
        with m.FSM() as states:
            with m.State("IDLE"), m.If(self.begin):
                m.d.sync += [reach.eq(0), plane.eq(1)]
                m.next = "REACH"
            with m.State("REACH"):
                m.d.sync += [plane.eq(plane + 1), reach.eq(reach + stride)]
                with m.If(plane == prune.kept):
                    m.d.sync += reach.eq(reach)
                    m.next = "NEXT"
            with m.State("NEXT"):
                m.d.sync += [plane.eq(0), number.eq(0)]
                with m.If(self.done):
                    m.next = "IDLE"
                with m.Elif(self.free):
                    m.d.comb += [start.eq(1), self.begun.eq(~over), self.outside.eq(over)]
                    m.next = "CLEAR"
                    with m.If(over):
                        m.next = "IDLE"
            with m.State("CLEAR"):
                m.d.comb += self.o.valid.eq(1)
                m.d.sync += number.eq(number + 1)
                with m.If(number == config.group * parts - 1):
                    m.next = "INDICES"
            with m.State("INDICES"):
                # What would be outside is the region's first word.
                at = prune.region.address + Mux(inside, places.indices.word, 0)
                m.d.comb += [
                    reader.words.valid.eq(1),
                    reader.words.payload.address.eq(at),
                    reader.words.payload.count.eq(1),
                ]
                with m.If(reader.words.ready):
                    m.d.comb += self.outside.eq(~inside)
                    m.next = "ROWS"
            with m.State("ROWS"):
                m.d.comb += reader.o.ready.eq(1)
                with m.If(there):
                    m.d.sync += [rows.eq(self._indices(reader, places)), number.eq(0)]
                    m.next = "WEIGHTS"
            with m.State("WEIGHTS"):
                m.d.comb += reader.words.valid.eq(1)
                with m.If(reader.words.ready):
                    m.next = "DEAL"
            with m.State("DEAL"):
                m.d.comb += [reader.o.ready.eq(1), self.o.valid.eq(there)]
                with m.If(there):
                    m.d.sync += number.eq(number + 1)
                with m.If(there & (number == parts - 1)):
                    m.d.comb += places.taken.eq(1)
                    m.d.sync += [plane.eq(plane + 1), place.eq(place + stride)]
                    m.next = "INDICES"
                    with m.If(last):
                        m.next = "NEXT"
            self._deal(m, reader, rows, number, last, clears=states.ongoing("CLEAR"))
        return m

    def _squares(self, m: Module, reach, place, parts: int):
        """Where the next square begins, once the one at hand has `start`ed, and whether that one
        would be outside."""
        config, prune = self.config, self.prune
        each = config.rows // config.lanes
        start, row, column = Signal(), Signal(20), Signal(20)
        left, rows_left = Signal(12), Signal(12)
        lane, window = Signal(range(config.lanes)), Signal(range(each))
        """Of the group, in its block of R."""
        here = Signal(20)
        m.d.comb += here.eq(row + column)
        over = here + reach + parts > prune.words.count
        with m.If(start):
            m.d.sync += [
                place.eq(here),
                self.of_lane.eq(lane),
                column.eq(column + parts),
                left.eq(left - 1),
            ]
            with m.If(left == 1):
                m.d.sync += [
                    column.eq(0),
                    left.eq(prune.outputs),
                    rows_left.eq(rows_left - 1),
                    self.done.eq(rows_left == 1),
                    lane.eq(lane + 1),
                ]
                with m.If(lane == config.lanes - 1):
                    m.d.sync += [lane.eq(0), window.eq(window + 1), row.eq(row + prune.pitch)]
                    with m.If(window == each - 1):
                        # Behind the last weights of this block come the first ones of the next.
                        m.d.sync += [window.eq(0), row.eq(row + reach + prune.pitch)]
            with m.If(over):
                m.d.sync += self.done.eq(1)
        with m.If(self.begin):
            m.d.sync += [
                *(signal.eq(0) for signal in (row, column, lane, window)),
                left.eq(prune.outputs),
                rows_left.eq(prune.inputs),
                self.done.eq(0),
            ]
        return start, over

    def _indices(self, reader: BeatReader, places: Places):
        """The rows of M columns' weights, out of the word that has them."""
        config, spot = self.config, places.indices
        group = reader.o.payload.data.word_select(spot.lane, 8 * config.group_bytes)
        unit = group.word_select(spot.unit, INDEX_BITS * config.group)
        nibbles = (unit.word_select(n, INDEX_BITS) for n in range(config.group))
        return Cat(nibble[: config.index_bits] for nibble in nibbles)

    def _deal(self, m: Module, reader: BeatReader, rows, number, last, clears):
        """Zeros, row by row, or weights to their rows."""
        config, piece = self.config, self.o.piece
        parts = ELEMENT_BITS // config.format.bits
        log2, each = parts.bit_length() - 1, config.group // parts
        group = reader.o.payload.data.word_select(self.of_lane, 8 * config.group_bytes)
        m.d.comb += [
            piece.part.eq(number[:log2]),
            piece.kept.eq(~clears),
            piece.data.eq(Mux(clears, 0, group)),
            piece.whole.eq(~clears & last & (number == parts - 1)),
        ]
        for n in range(each):
            of_part = rows[n]
            for part in range(1, parts):
                of_part = Mux(piece.part == part, rows[part * each + n], of_part)
            m.d.comb += piece.rows[n].eq(Mux(clears, number[log2:], of_part))
