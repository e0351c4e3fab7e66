"""Scoreboard and Gate: a descriptor begins when what it names has been finished, and not before."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.hdl import Assert, Assume, Cover
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In

from ...hw.control.scoreboard import Gate, Scoreboard
from ...hw.isa.engines import PLACES, WAIT_BITS, WAITS_BITS, Engine

WHOLE = 5
"""Bits of counts that do not wrap within the proof."""


class WaitsProof(wiring.Component):
    """Any descriptors for any engines, each finished at any time after it was issued.

    One engine's queue is looked at. What its descriptors wait for, in whole numbers, travels with
    them. Counts have three bits, so that they wrap, and the rule that keeps them apart matters.
    """

    def __init__(self, depth: int = 2, bits: int = 3):
        self.depth, self.bits = depth, bits
        engines = PLACES
        super().__init__(
            {
                "engine": In(range(engines)),
                "issue": In(1),
                "stores": In(1),
                "finished": In(engines),
                "waits": In(WAITS_BITS),
                "none": In(1),
                "ready": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        engines = PLACES
        needs = data.ArrayLayout(WHOLE, engines)
        m.submodules.scoreboard = scoreboard = Scoreboard(self.bits)
        m.submodules.gate = gate = Gate(needs, self.depth, self.bits)
        mine = self.engine == Engine.FILL
        issued, to = Signal(), Signal(engines)
        just, before = Signal(init=1), Signal(WAITS_BITS + 1)
        m.d.sync += [just.eq(issued), before.eq(Cat(self.waits, self.none))]
        m.d.comb += [
            issued.eq(self.issue & ~scoreboard.hold & (~mine | gate.i.ready)),
            scoreboard.waits.eq(self.waits),
            scoreboard.none.eq(self.none),
            to.eq((issued << self.engine) | (issued & self.stores) << Engine.STORE),
            scoreboard.issued.eq(to),
            scoreboard.finished.eq(self.finished),
            scoreboard.empty.eq(gate.empty),
            gate.counts.eq(scoreboard.counts),
            gate.i.valid.eq(issued & mine),
            gate.i.payload.waits.eq(scoreboard.targets),
            gate.o.ready.eq(self.ready),
            Assume(self.engine < engines),
            # A header is there a cycle before it is issued, and the next one is not at once.
            Assume(~self.issue | (~just & (Cat(self.waits, self.none) == before))),
        ]
        met = Signal(engines, init=-1)  # a place without an engine is not waited for
        for engine in Engine:
            given = Signal(WHOLE, name=f"all_given_{engine}")
            done = Signal(WHOLE, name=f"all_done_{engine}")
            left = self.waits.word_select(engine, WAIT_BITS) - 1
            need = gate.i.payload.descriptor[engine]
            m.d.comb += [
                need.eq(Mux(~self.none & (left >= 0) & (given > left), given - left, 0)),
                met[engine].eq(done >= gate.queue.o.payload.descriptor[engine]),
                # Nothing is finished that was not given; queues hold no more than a few.
                Assume(~self.finished[engine] | (done < given)),
                Assume(given - done <= 3),
            ]
            working = Signal(name=f"working_{engine}")
            m.d.sync += [
                given.eq(given + to[engine]),
                done.eq(done + self.finished[engine]),
                working.eq(given != done),
            ]
            m.d.comb += Assert(scoreboard.working[engine] == working)
        waited = Signal()
        with m.If(gate.queue.o.valid & ~met.all()):
            m.d.sync += waited.eq(1)
        number = Signal(WHOLE)
        holds, held = scoreboard.hold & gate.empty, Signal()
        m.d.sync += [number.eq(number + issued), held.eq(holds)]
        m.d.comb += [
            Assert(gate.o.valid == (gate.queue.o.valid & met.all())),
            Assert(Cat(gate.o.payload) == Cat(gate.queue.o.payload.descriptor)),
            # It says for whom it waits: for one, of which not enough is finished.
            Assert(gate.late.any() == (gate.queue.o.valid & ~met.all())),
            Assert((gate.late & (met | (gate.late - 1))) == 0),
            # The rule that holds back lets go again.
            Assert(~(holds & held)),
            Cover(waited & gate.o.valid & (gate.o.payload[Engine.ROWS] == 2)),
            Cover(number == 6),
        ]
        return m
