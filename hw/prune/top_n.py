"""Top N of M: a line's elements one by one, and then those that are kept, in order.

element ─► compared with all before it ─► ranks ─┬─ line done ─► mask ─► lowest one first
"""

from amaranth import Array, Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..arith.narrow import BINARY32
from .square import ELEMENT


class TopN(wiring.Component):
    """Keep the N of M elements (`size`) that are largest in magnitude; of equals the lower index.

    Magnitudes are compared as the integers of 31 bits that a binary32 has below its sign, so a NaN
    is the largest. A line's elements come in order of their indices; those that do not come count
    as zeros, smaller than all that do.

    Latency: 2 cycles from a line's last element to the first that is kept. Throughput: an element a
    cycle, also from line to line. Stall rule: takes a line's first element only when all of the
    line before but one have left or the last of them does.

    Source: Fang et al., "Efficient N:M sparse DNN training", IEEE TCAD 2024 (SORE).

    Members
    -------
    n : In(range(1, M + 1)), the same from a line's first element until its last has left
    i : In stream of ELEMENT
    o : Out stream of ELEMENT, those that are kept, in order of their indices
    """

    def __init__(self, size: int):
        self.size = size
        super().__init__(
            {
                "n": In(range(size + 1)),
                "i": In(stream.Signature(ELEMENT(size))),
                "o": Out(stream.Signature(ELEMENT(size))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        size, new = self.size, self.i.payload
        line = Signal(data.ArrayLayout(BINARY32, size), reset_less=True)
        ranks = Signal(data.ArrayLayout(range(size), size))
        """Of each element, how many that have come before are larger."""
        there, ended = Signal(size), Signal()
        """Which of a line have come; and whether all have, and none of the next one."""
        held, mask = Signal.like(line), Signal(size)
        """The line whose kept elements leave, and which of these have not."""
        taken = self.i.valid & self.i.ready
        came = there & ~ended.replicate(size)
        below = [(_magnitude(new.value) > _magnitude(line[n])) & came[n] for n in range(size)]
        rank = sum((came[n] & ~below[n] for n in range(size)), start=0)
        leaves, final = self.o.valid & self.o.ready, (mask & (mask - 1)) == 0
        free = (mask == 0) | (leaves & final)
        moves = ended & free
        m.d.comb += self.i.ready.eq(~ended | free)
        with m.If(taken):
            m.d.sync += [there.eq(came | (1 << new.index)), ended.eq(new.last)]
            for n in range(size):
                with m.If(new.index == n):
                    m.d.sync += [line[n].eq(new.value), ranks[n].eq(rank)]
                with m.Elif(came[n]):
                    m.d.sync += ranks[n].eq(ranks[n] + below[n])
        with m.Elif(moves):
            m.d.sync += [ended.eq(0), there.eq(0)]
        with m.If(leaves):
            m.d.sync += mask.eq(mask & (mask - 1))
        with m.If(moves):
            m.d.sync += mask.eq(self._kept(there, ranks))
            m.d.sync += [held[n].eq(Mux(there[n], line[n].as_value(), 0)) for n in range(size)]
        # Of several the lowest: a later assignment counts.
        index = Signal(range(size))
        for n in reversed(range(size)):
            with m.If(mask[n]):
                m.d.comb += index.eq(n)
        m.d.comb += [
            self.o.valid.eq(mask != 0),
            self.o.payload.value.eq(Array(held[n] for n in range(size))[index]),
            self.o.payload.index.eq(index),
            self.o.payload.last.eq(final),
        ]
        return m

    def _kept(self, there, ranks):
        """Which of a line are: behind those that have come the first ones of the others."""
        count, kept = sum(there), []
        for n in range(self.size):
            absent = sum((~there[other] for other in range(n)), start=0)
            kept.append(Mux(there[n], ranks[n], count + absent) < self.n)
        return Cat(kept)


def _magnitude(value):
    return value.as_value()[:31]
