"""Top N of M: exactly the N largest elements of each line leave, in order, whoever stalls."""

from amaranth import Array, Module, Mux, Signal
from amaranth.hdl import Assert, Assume, Cover
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In

from ...hw.prune.top_n import TopN
from .claims import constant, stays

MAGNITUDE = 7
"""Bits of a magnitude that need not be zero: more orders of four elements than there are."""
SIGN = 1 << 31


class TopNProof(wiring.Component):
    """The same two lines over and over, which the solver chooses, each with those elements that it
    chooses, and N. What leaves is judged by the definition: an element is kept if less than N of
    its line are larger, or as large and before it; those that do not come are less than all that
    do."""

    def __init__(self, size: int):
        self.size = size
        super().__init__(
            {
                "n": In(range(size + 1)),
                "lines": In(data.ArrayLayout(data.ArrayLayout(32, size), 2)),
                "there": In(data.ArrayLayout(size, 2)),
                "valid": In(1),
                "ready": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        size, n = self.size, self.n
        m.submodules.top_n = top_n = TopN(size)
        constant(m, n, self.lines, self.there)
        place, line, out = Signal(range(size)), Signal(), Signal()
        gone, waiting = Signal(size), Signal(size)
        """Elements of the line that have been given, and those that have not."""
        kept, before = Signal(range(size + 1)), Signal(range(size))
        """Elements that have left of the line at the way out, and the last one's index."""
        offered = top_n.i.payload
        m.d.comb += [
            Assume((n != 0) & (n <= size)),
            *(Assume(mask != 0) for mask in self.there),
            *(
                Assume((element & ~(SIGN | MAGNITUDE)) == 0)
                for element in (*self.lines[0], *self.lines[1])
            ),
            waiting.eq(self.there[line] & ~gone),
            top_n.n.eq(n),
            top_n.i.valid.eq(self.valid),
            offered.value.as_value().eq(self.lines[line].as_value().word_select(place, 32)),
            offered.index.eq(place),
            offered.last.eq((waiting & (waiting - 1)) == 0),
            top_n.o.ready.eq(self.ready),
        ]
        for index in reversed(range(size)):
            with m.If(waiting[index]):
                m.d.comb += place.eq(index)
        stays(m, self.valid, top_n.i.ready, claim=Assume)
        with m.If(self.valid & top_n.i.ready):
            m.d.sync += [
                gone.eq(Mux(offered.last, 0, gone | (1 << place))),
                line.eq(line ^ offered.last),
            ]
        leaves, left = top_n.o.valid & self.ready, top_n.o.payload
        stays(m, top_n.o.valid, self.ready, left)
        own, came = self.lines[out], self.there[out]
        mine = own.as_value().word_select(left.index, 32)
        mine_came = Array(came)[left.index]

        def comes_before(j: int):
            """An element of the line is rather kept than the one at the way out."""
            magnitude = mine & MAGNITUDE
            larger = (own[j] & MAGNITUDE) > magnitude
            as_large = ((own[j] & MAGNITUDE) == magnitude) & (j < left.index)
            return Mux(mine_came, came[j] & (larger | as_large), came[j] | (j < left.index))

        with m.If(top_n.o.valid):
            m.d.comb += [
                Assert(left.value.as_value() == Mux(mine_came, mine, 0)),
                Assert(sum(comes_before(j) for j in range(size)) < n),
                Assert((kept == 0) | (left.index > before)),
                Assert(left.last == (kept == n - 1)),
            ]
        with m.If(leaves):
            m.d.sync += [before.eq(left.index), kept.eq(Mux(left.last, 0, kept + 1))]
            m.d.sync += out.eq(out ^ left.last)
        whole = self.there[0].all() & self.there[1].all()
        m.d.comb += [
            Cover(leaves & left.last & out & (n == size - 1) & whole),
            Cover(leaves & left.last & out & (n == size - 1) & ~mine_came),
        ]
        return m
