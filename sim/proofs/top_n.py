"""Top N of M: exactly the N largest elements of each line leave, in order, whoever stalls."""

from amaranth import Module, Mux, Signal
from amaranth.hdl import Assert, Assume, Cover
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In

from ...hw.prune.square import ELEMENT
from ...hw.prune.top_n import TopN
from .claims import constant, stays

MAGNITUDE = 7
"""Bits of a magnitude that need not be zero: more orders of four elements than there are."""
SIGN, KEPT = 1 << 31, 1 << 32
WIDTH = ELEMENT.size


class TopNProof(wiring.Component):
    """The same two lines over and over, which the solver chooses, and N. What leaves is judged by
    the definition: an element is kept if less than N of its line are larger, or as large and before
    it; those that have their place already count as larger than all others."""

    def __init__(self, size: int):
        self.size = size
        super().__init__(
            {
                "n": In(range(size + 1)),
                "lines": In(data.ArrayLayout(data.ArrayLayout(WIDTH, size), 2)),
                "valid": In(1),
                "ready": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        size, n = self.size, self.n
        m.submodules.top_n = top_n = TopN(size)
        constant(m, n, self.lines)
        place, line, out = Signal(range(size)), Signal(), Signal()
        kept, before = Signal(range(size + 1)), Signal(range(size))
        """Elements that have left of the line at the way out, and the last one's index."""
        m.d.comb += [
            Assume((n != 0) & (n <= size)),
            *(
                Assume((element & ~(SIGN | KEPT | MAGNITUDE)) == 0)
                for element in (*self.lines[0], *self.lines[1])
            ),
            top_n.n.eq(n),
            top_n.i.valid.eq(self.valid),
            top_n.i.payload.as_value().eq(self.lines[line].as_value().word_select(place, WIDTH)),
            top_n.o.ready.eq(self.ready),
        ]
        stays(m, self.valid, top_n.i.ready, claim=Assume)
        with m.If(self.valid & top_n.i.ready):
            m.d.sync += [
                place.eq(Mux(place == size - 1, 0, place + 1)),
                line.eq(line ^ (place == size - 1)),
            ]
        leaves, left = top_n.o.valid & self.ready, top_n.o.payload
        stays(m, top_n.o.valid, self.ready, left)
        own = self.lines[out]
        mine = own.as_value().word_select(left.index, WIDTH)
        held, magnitude = mine[-1], mine & MAGNITUDE

        def comes_before(j: int):
            """An element of the line is rather kept than the one at the way out."""
            same, size_of = own[j][-1] == held, own[j] & MAGNITUDE
            as_large = (size_of == magnitude) & (j < left.index)
            return (own[j][-1] & ~held) | (same & ((size_of > magnitude) | as_large))

        larger = sum(comes_before(j) for j in range(size))
        with m.If(top_n.o.valid):
            m.d.comb += [
                Assert(left.value.as_value() == mine[:-1]),
                Assert(larger < n),
                Assert((kept == 0) | (left.index > before)),
                Assert(left.last == (kept == n - 1)),
            ]
        with m.If(leaves):
            m.d.sync += [before.eq(left.index), kept.eq(Mux(left.last, 0, kept + 1))]
            m.d.sync += out.eq(out ^ left.last)
        m.d.comb += Cover(leaves & left.last & out & (n == size - 1))
        return m
