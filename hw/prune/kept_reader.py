"""The squares of a PRUNE whose tensor is the weights alone that a matrix keeps, and their places.

asked for: indices, weights, of one place after the other ─► memory ─► [what comes] ─► pieces
    └────────────────── where they lie in their words ───────────────────┘
"""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring

from ..config import Config
from ..isa.maps import INDEX_BITS
from ..lib.connect import connect_checked
from ..lib.fifo import Fifo
from ..lib.pipeline import times
from ..tensor.beats import BeatReader
from .places import SPOT, Places
from .reader import gives_squares
from .square import ELEMENT_BITS

AHEAD = 4
"""Places of a group that are asked for before they have come."""


class KeptReader(wiring.Component):
    """Read the squares of M rows and M columns, along the rows first: M weights for each of N
    places, and the rows that these are in.

    Latency: N + 8 cycles from `begin` to the first weights. Throughput: a square in N (1 + 32 /
    bits) cycles and some. Stall rule: waits for the memory, and before each square for `free`.

    Members
    -------
    as of `SquareReader`; `outside` also pulses for indices that would not be in the PRUNE's region
    """

    def __init__(self, config: Config):
        self.config = config
        self.parts = ELEMENT_BITS // config.format.bits
        """Words that M weights of each lane take."""
        self.ahead = Fifo(
            data.StructLayout({"indices": SPOT(config), "lane": range(config.lanes), "last": 1}),
            AHEAD,
        )
        """Of what is asked for: where in their words indices and weights lie, and whether these are
        the last of a square."""
        super().__init__(gives_squares(config))

    def elaborate(self, platform):
        m = Module()
        config, prune, ahead = self.config, self.prune, self.ahead
        m.submodules.reader = reader = BeatReader(config)
        m.submodules.places = places = Places(config, backward=False)
        m.submodules.ahead = ahead
        connect_checked(m, reader.port, wiring.flipped(self.port))
        reach, place, lane = Signal(20), Signal(20), Signal(range(config.lanes))
        """Words from a group's first weights to its last ones, and to those at hand; their lane."""
        plane = Signal(range(config.group + 1))
        stride, last = times(prune.pitch, config.rows // config.lanes), plane == prune.kept - 1
        inside, asked = places.indices.word < prune.region.count, reader.words
        m.d.comb += [
            places.start.eq(self.begin),
            places.payloads.indices.eq(prune.forward_indices),
            places.payloads.pitch.eq(prune.forward_pitch),
            places.n.eq(prune.kept),
            places.squares.eq(prune.outputs),
            places.last.eq(last),
            ahead.i.payload.indices.eq(places.indices),
            ahead.i.payload.lane.eq(lane),
            ahead.i.payload.last.eq(last),
        ]
        start, over = self._squares(m, reach, place, lane)
        with m.FSM():
            with m.State("IDLE"), m.If(self.begin):
                m.d.sync += [reach.eq(0), plane.eq(1)]
                m.next = "REACH"
            with m.State("REACH"):
                m.d.sync += [plane.eq(plane + 1), reach.eq(reach + stride)]
                with m.If(plane == prune.kept):
                    m.d.sync += reach.eq(reach)
                    m.next = "NEXT"
            with m.State("NEXT"):
                m.d.sync += plane.eq(0)
                with m.If(self.done):
                    m.next = "IDLE"
                with m.Elif(self.free):
                    m.d.comb += [start.eq(1), self.begun.eq(~over), self.outside.eq(over)]
                    m.next = "INDICES"
                    with m.If(over):
                        m.next = "IDLE"
            with m.State("INDICES"):
                # What would be outside is the region's first word.
                at = Mux(inside, places.indices.word, 0)
                m.d.comb += [
                    asked.valid.eq(ahead.i.ready),
                    asked.payload.address.eq(prune.region.address + at),
                    asked.payload.count.eq(1),
                ]
                with m.If(asked.valid & asked.ready):
                    m.d.comb += [ahead.i.valid.eq(1), self.outside.eq(~inside)]
                    m.next = "WEIGHTS"
            with m.State("WEIGHTS"):
                m.d.comb += [
                    asked.valid.eq(1),
                    asked.payload.address.eq(prune.words.address + place),
                    asked.payload.count.eq(self.parts),
                ]
                with m.If(asked.ready):
                    m.d.comb += places.taken.eq(1)
                    m.d.sync += [plane.eq(plane + 1), place.eq(place + stride)]
                    m.next = "INDICES"
                    with m.If(last):
                        m.next = "NEXT"
        self._deal(m, reader)
        return m

    def _squares(self, m: Module, reach, place, lane):
        """Where the next square begins, once it has `start`ed, and whether it would be outside."""
        config, prune = self.config, self.prune
        each = config.rows // config.lanes
        start, row, column = Signal(), Signal(20), Signal(20)
        left, rows_left = Signal(12), Signal(12)
        group_lane, window, here = Signal(range(config.lanes)), Signal(range(each)), Signal(20)
        """Where the group lies, of those of its block; and its first weights."""
        m.d.comb += here.eq(row + column)
        over = here + reach + self.parts > prune.words.count
        with m.If(start):
            m.d.sync += [
                place.eq(here),
                lane.eq(group_lane),
                column.eq(column + self.parts),
                left.eq(left - 1),
            ]
            with m.If(left == 1):
                m.d.sync += [
                    column.eq(0),
                    left.eq(prune.outputs),
                    rows_left.eq(rows_left - 1),
                    self.done.eq(rows_left == 1),
                    group_lane.eq(group_lane + 1),
                ]
                with m.If(group_lane == config.lanes - 1):
                    m.d.sync += [group_lane.eq(0), window.eq(window + 1)]
                    m.d.sync += row.eq(row + prune.pitch)
                    with m.If(window == each - 1):
                        # Behind the last weights of this block come the first ones of the next.
                        m.d.sync += [window.eq(0), row.eq(row + reach + prune.pitch)]
            with m.If(over):
                m.d.sync += self.done.eq(1)
        with m.If(self.begin):
            m.d.sync += [
                *(signal.eq(0) for signal in (row, column, group_lane, window)),
                left.eq(prune.outputs),
                rows_left.eq(prune.inputs),
                self.done.eq(0),
            ]
        return start, over

    def _deal(self, m: Module, reader: BeatReader):
        """Indices, then the weights that they are of, part by part."""
        config, piece, parts, ahead = self.config, self.o.piece, self.parts, self.ahead.o
        spot, word = ahead.payload.indices, reader.o.payload.data
        has_rows, part = Signal(), Signal(range(parts))
        rows = Signal(data.ArrayLayout(range(config.group), config.group), reset_less=True)
        last, each = part == parts - 1, config.group // parts
        unit = word.word_select(spot.lane, 8 * config.group_bytes)
        unit = unit.word_select(spot.unit, INDEX_BITS * config.group)
        nibbles = (unit.word_select(n, INDEX_BITS) for n in range(config.group))
        m.d.comb += [
            reader.o.ready.eq(1),
            self.o.valid.eq(reader.o.valid & has_rows),
            ahead.ready.eq(self.o.valid & last),
            piece.part.eq(part),
            piece.data.eq(word.word_select(ahead.payload.lane, 8 * config.group_bytes)),
            piece.whole.eq(ahead.payload.last & last),
        ]
        for n in range(each):
            of_part = rows[n]
            for number in range(1, parts):
                of_part = Mux(part == number, rows[number * each + n], of_part)
            m.d.comb += piece.rows[n].eq(of_part)
        with m.If(self.o.valid):
            m.d.sync += [part.eq(Mux(last, 0, part + 1)), has_rows.eq(~last)]
        with m.Elif(reader.o.valid):
            m.d.sync += [has_rows.eq(1), rows.eq(Cat(n[: config.index_bits] for n in nibbles))]
