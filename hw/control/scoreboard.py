"""Who waits for whom: what engines were given and have finished, and queues that hold back.

waits of a header ─► Scoreboard ─► targets ─► [queue] ─► Gate ─► engine
                         ▲                                ▲         │
                         └────────── counts ──────────────┴── finished
"""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..isa.engines import PLACES, WAIT_BITS, WAITS_BITS, Engine
from ..layouts.engines import COUNTS, WAITS
from ..lib.fifo import Fifo

COUNT_BITS = 16
"""Of what an engine was given, and has finished. The counts wrap, and the sign of a difference
tells what is late; so while a descriptor waits, no engine may finish half as many as they count.
Every eighth part of that, therefore, the queues must have been empty once."""


class Scoreboard(wiring.Component):
    """Turn a descriptor's `waits` into counts that it waits for.

    Latency: 1 cycle from `waits` to `targets`; what is issued or finished in a cycle counts from
    the next one on. Throughput: a descriptor in 2 cycles. Stall rule: nothing may be issued while
    `hold`, nor in the cycle after something was.

    Members
    -------
    waits : In(30), of the header at hand, as `isa.engines` has it; there since the cycle before
    none : In(1), likewise: it has no `waits`, but other fields in their place
    issued, finished : In(1) for each engine, pulses; a descriptor may be one of two engines
    empty : In(1), all queues of descriptors are
    targets : Out(WAITS), what the descriptor waits for if it is issued now
    counts : Out(COUNTS), what was finished
    working : Out(1) for each engine, not all that it was given was finished a cycle ago
    hold : Out(1)
    """

    def __init__(self, bits: int = COUNT_BITS):
        self.bits = bits
        engines = PLACES
        super().__init__(
            {
                "waits": In(WAITS_BITS),
                "none": In(1),
                "issued": In(engines),
                "finished": In(engines),
                "empty": In(1),
                "targets": Out(WAITS(bits)),
                "counts": Out(COUNTS(bits)),
                "working": Out(engines),
                "hold": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        for engine in Engine:
            given, done = Signal(self.bits, name=f"given_{engine}"), self.counts[engine]
            m.d.sync += [
                given.eq(given + self.issued[engine]),
                done.eq(done + self.finished[engine]),
                self.working[engine].eq(given != done),
            ]
            wait = self.waits.word_select(engine, WAIT_BITS)
            target, some = self.targets[engine], (wait != 0) & ~self.none
            # What is finished meanwhile is found to be so by the counts.
            m.d.sync += [
                target.needed.eq(some & ((given - done)[: self.bits] >= wait)),
                target.target.eq(given + 1 - wait),
            ]
        number, epoch = Signal(self.bits - 2), Signal()
        m.d.sync += number.eq(number + self.issued.any())
        m.d.comb += self.hold.eq(number[-1] != epoch)
        with m.If(self.empty):
            m.d.sync += epoch.eq(number[-1])
        return m


class Gate(wiring.Component):
    """A queue of descriptors, whose head waits for what it names.

    Latency: 1 cycle when empty. Throughput: one a cycle. Stall rule: `o` is not valid before all
    that the descriptor waits for has been counted.

    Members
    -------
    i : In stream of {descriptor, waits}
    counts : In(COUNTS), of the scoreboard
    o : Out stream of `shape`
    late : Out(1) for each engine, one at most: the first of those that the head waits for
    empty : Out(1)
    """

    def __init__(self, shape, depth: int, bits: int = COUNT_BITS):
        self.bits = bits
        held = data.StructLayout({"descriptor": shape, "waits": WAITS(bits)})
        # It is wide, but short: block RAM would be slower, and hardly smaller.
        self.queue = Fifo(held, depth, block_ram=1 << 16)
        super().__init__(
            {
                "i": In(stream.Signature(held)),
                "counts": In(COUNTS(bits)),
                "o": Out(stream.Signature(shape)),
                "late": Out(PLACES),
                "empty": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.queue = queue = self.queue
        wiring.connect(m, wiring.flipped(self.i), queue.i)
        head = queue.o.payload
        late = Signal(PLACES)
        for engine in Engine:
            wait = head.waits[engine]
            ahead = (self.counts[engine] - wait.target)[: self.bits]
            m.d.comb += late[engine].eq(wait.needed & ahead[-1])
        free = ~Cat(late).any()
        m.d.comb += [
            self.o.valid.eq(queue.o.valid & free),
            self.o.payload.eq(head.descriptor),
            self.late.eq(Mux(queue.o.valid, late & -late, 0)),
            queue.o.ready.eq(self.o.ready & free),
            self.empty.eq(queue.level == 0),
        ]
        return m
