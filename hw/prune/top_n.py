"""Top N of M: a line's elements one by one, and then those that are kept, in order.

element ─► compared with all before it ─► ranks ─┬─ line done ─► mask ─► lowest one first
"""

from amaranth import Array, Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..arith.narrow import BINARY32
from .square import ELEMENT


def KEPT(size: int) -> data.StructLayout:
    """An element that is kept, and its place in its line of so many; `last` of the line."""
    return data.StructLayout({"value": BINARY32, "index": range(size), "last": 1})


class TopN(wiring.Component):
    """Keep the N of M elements (`size`) that are largest in magnitude; of equals the lower index.

    Magnitudes are compared as the integers of 31 bits that a binary32 has below its sign, so a NaN
    is the largest; those that are `kept` already come before all others. A line's first element is
    the M-th after that of the line before.

    Latency: 2 cycles from a line's last element to the first that is kept. Throughput: an element a
    cycle, also from line to line. Stall rule: takes a line's last element only when all of the line
    before have left or the last of them does.

    Source: Fang et al., "Efficient N:M sparse DNN training", IEEE TCAD 2024 (SORE).

    Members
    -------
    n : In(range(1, M + 1)), the same from a line's first element until its last has left
    i : In stream of ELEMENT
    o : Out stream of KEPT
    """

    def __init__(self, size: int):
        self.size = size
        super().__init__(
            {
                "n": In(range(size + 1)),
                "i": In(stream.Signature(ELEMENT)),
                "o": Out(stream.Signature(KEPT(size))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        size, new = self.size, self.i.payload
        line = Signal(data.ArrayLayout(ELEMENT, size), reset_less=True)
        ranks = Signal(data.ArrayLayout(range(size), size))
        """Of each element, how many that have come before are larger."""
        place, ended = Signal(range(size)), Signal()
        """Of the next element; all of a line have come, and none of the next one."""
        held, mask = Signal.like(line), Signal(size)
        """The line whose kept elements leave, and which of these have not."""
        last, taken = place == size - 1, self.i.valid & self.i.ready
        below = [(_order(new) > _order(line[n])) & (place > n) for n in range(size)]
        rank = sum(((place > n) & ~below[n] for n in range(size)), start=0)
        leaves, final = self.o.valid & self.o.ready, (mask & (mask - 1)) == 0
        free = (mask == 0) | (leaves & final)
        moves = ended & free
        m.d.comb += self.i.ready.eq(~ended | free)
        with m.If(taken):
            m.d.sync += [place.eq(Mux(last, 0, place + 1)), ended.eq(last)]
            for n in range(size):
                with m.If(place == n):
                    m.d.sync += [line[n].eq(new), ranks[n].eq(rank)]
                with m.Elif(place > n):
                    m.d.sync += ranks[n].eq(ranks[n] + below[n])
        with m.Elif(moves):
            m.d.sync += ended.eq(0)
        with m.If(leaves):
            m.d.sync += mask.eq(mask & (mask - 1))
        with m.If(moves):
            m.d.sync += [held.eq(line), mask.eq(Cat(ranks[n] < self.n for n in range(size)))]
        # Of several the lowest: a later assignment counts.
        index = Signal(range(size))
        for n in reversed(range(size)):
            with m.If(mask[n]):
                m.d.comb += index.eq(n)
        m.d.comb += [
            self.o.valid.eq(mask != 0),
            self.o.payload.value.eq(Array(held[n].value for n in range(size))[index]),
            self.o.payload.index.eq(index),
            self.o.payload.last.eq(final),
        ]
        return m


def _order(element):
    """Larger for what is kept rather."""
    return Cat(element.value.as_value()[:31], element.kept)
