"""Where slots go that a PRUNE makes along one axis."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..isa.maps import INDEX_BITS
from ..lib.pipeline import times

POSITION_BITS = 24
"""Of the number of M elements of a slot among those of its column block."""


PAYLOADS = data.StructLayout({"address": 17, "indices": 16, "pitch": 16})
"""Where a column block's weights lie: their first word, those from there to their indices, and
those to the next block."""


def SPOT(config: Config) -> data.StructLayout:
    """Where M values or their indices go: a word, as it counts from the PRUNE's first, a lane, and
    a unit in there."""
    units = config.format.bits // INDEX_BITS
    return data.StructLayout(
        {"word": 18, "lane": range(config.lanes), "unit": range(units)},
    )


class Places(wiring.Component):
    """Give the places of one slot after another: square after square, as PRUNE goes through them.

    A square's slots are those of one group along the axis, and of M columns of a block. Forward,
    the next square has the next columns, and after the last of them comes the next group; backward
    it is the other way round.

    Latency: 1 cycle from `start` or `taken`. Throughput: one a cycle. Stall rule: none.

    Members
    -------
    start : In(1); with it and from then on `payloads`, In(PAYLOADS), `n`, In(range(1, M + 1)), the
        slots of a group, and `squares`, In(12), of a row
    taken : In(1), the slot at hand has been placed, and is the `last`, In(1), of its square
    values, indices : Out(SPOT)
    """

    def __init__(self, config: Config, backward: bool):
        self.config, self.backward = config, backward
        super().__init__(
            {
                "start": In(1),
                "payloads": In(PAYLOADS),
                "n": In(range(config.group + 1)),
                "taken": In(1),
                "last": In(1),
                "squares": In(12),
                "values": Out(SPOT(config)),
                "indices": Out(SPOT(config)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, payloads = self.config, self.payloads
        across = config.columns // config.group
        lanes = config.lanes.bit_length() - 1
        units = (config.format.bits // INDEX_BITS).bit_length() - 1
        group, slot = Signal(POSITION_BITS), Signal(POSITION_BITS)
        """Positions of a group's first slot, and of the slot at hand, in the first columns."""
        part, block = Signal(range(across)), Signal(18)
        """Which M columns of a block, and that block's first word."""
        position = Signal(POSITION_BITS)
        whole, left = part == across - 1, Signal(12)
        square = self.taken & self.last
        end = square & (left == 1)
        forth, aside = (square, end) if self.backward else (end, square)
        """The next square has the next group; the next columns."""
        again, anew = (aside, 0) if self.backward else (0, forth)
        """And the first group; the first columns."""
        following = Signal(POSITION_BITS)
        m.d.comb += [
            position.eq(slot + part),
            following.eq(group + times(self.n, across)),
            self.values.word.eq(block + (position >> lanes)),
            self.values.lane.eq(position[:lanes]),
            self.indices.word.eq(block + payloads.indices + (position >> lanes + units)),
            self.indices.lane.eq(position[units : units + lanes]),
            self.indices.unit.eq(position[:units]),
        ]
        with m.If(self.taken):
            m.d.sync += slot.eq(slot + across)
        with m.If(square):
            m.d.sync += left.eq(Mux(end, self.squares, left - 1))
            next_group = Mux(forth, following, group)
            with m.If(again):
                m.d.sync += [group.eq(0), slot.eq(0)]
            with m.Else():
                m.d.sync += [group.eq(next_group), slot.eq(next_group)]
        with m.If(aside):
            m.d.sync += [
                part.eq(Mux(whole, 0, part + 1)),
                block.eq(block + Mux(whole, payloads.pitch, 0)),
            ]
        with m.If(anew):
            m.d.sync += [part.eq(0), block.eq(payloads.address)]
        with m.If(self.start):
            m.d.sync += [group.eq(0), slot.eq(0), part.eq(0), block.eq(payloads.address)]
            m.d.sync += left.eq(self.squares)
        return m
