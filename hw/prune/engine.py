"""The vector unit and the pruner: while a layer is pruned, the next one may be updated.

                 ┌─► VectorUnit ─┐
VECTOR, PRUNE ──►┤               ├─► one port each way, finished in their order
                 └─► Pruner ─────┘
"""

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..isa.vector import INSTRUCTION_BYTES, STREAMS
from ..layouts.engines import VECTOR_WORK
from ..layouts.tensor import WORDS, at_work, meet
from ..lib.connect import connect_checked, either
from ..lib.library import Library
from ..tensor.share import PortShare
from ..vector.unit import VectorUnit
from .pruner import Pruner

MOST_EARLY = 3
"""VECTORs that have ended before a PRUNE that came before them has."""


class VectorEngine(wiring.Component):
    """Carry out VECTORs and PRUNEs, as if one after another: a VECTOR begins beside a PRUNE if its
    words and its program's are none that the PRUNE reads or writes. All else waits for what came
    before.

    Latency, throughput: as of `VectorUnit` and `Pruner`, and two cycles from one to the next; six
    more for a VECTOR beside a PRUNE. Stall rule: as theirs; of two writes in one cycle the
    pruner's goes first.

    Members
    -------
    vectors : In stream of layouts.VECTOR_WORK
    unsafe : In(1), a VECTOR that is guarded does nothing if it begins now
    finished : Out(1), one more in the order in which they came has been
    others : as of `VectorUnit`
    """

    def __init__(self, config: Config, library: Library | None = None):
        self.config = config
        self.unit, self.pruner = VectorUnit(config, library), Pruner(config)
        self.updating, self.pruning = Signal(), Signal()
        """A VECTOR is at work, and a PRUNE."""
        super().__init__(
            {
                "vectors": In(stream.Signature(VECTOR_WORK(config))),
                "unsafe": In(1),
                **at_work(config),
                "overflow": Out(1),
                "saturated": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.unit, m.submodules.pruner = unit, pruner = self.unit, self.pruner
        m.submodules.share = share = PortShare(self.config)
        connect_checked(m, unit.port, share.readers[0])
        connect_checked(m, pruner.port, share.readers[1])
        connect_checked(m, share.port, wiring.flipped(self.port))
        either(m, self.write, pruner.wants, pruner.write, unit.write)
        work, taken = self.vectors.payload, self.vectors.valid & self.vectors.ready
        prunes, skips = work.prunes, ~work.prunes & work.guarded & self.unsafe
        apart, early = self._look(m, taken), self._finish(m, taken & skips)
        beside = ~self.pruning | ((apart | skips) & (early != MOST_EARLY))
        may = Mux(prunes, ~self.pruning, beside) & ~self.updating
        offered = self.vectors.valid & may
        m.d.comb += [
            unit.vectors.valid.eq(offered & ~prunes & ~skips),
            unit.vectors.payload.eq(work.fields.vector),
            pruner.prunes.valid.eq(offered & prunes),
            pruner.prunes.payload.eq(work.fields.prune),
            self.vectors.ready.eq(
                may & Mux(prunes, pruner.prunes.ready, unit.vectors.ready | skips)
            ),
            pruner.grant.eq(self.grant),
            unit.grant.eq(self.grant & ~pruner.wants),
            self.overflow.eq(unit.overflow),
            self.saturated.eq(unit.saturated),
            self.waits.eq(unit.waits | pruner.waits),
            self.fault.eq(unit.fault | pruner.fault),
        ]
        m.d.sync += [
            self.updating.eq((self.updating & ~unit.finished) | (taken & ~prunes & ~skips)),
            self.pruning.eq((self.pruning & ~pruner.finished) | (taken & prunes)),
        ]
        return m

    def _look(self, m: Module, taken) -> Value:
        """Whether the VECTOR that is offered has no words of the PRUNE at work: it is looked at one
        after the other, and stays with the first that is."""
        vector, asked = self.vectors.payload.fields.vector, self.pruner.asked
        places = self.config.stream_bytes // INSTRUCTION_BYTES
        looked, here = Signal(range(STREAMS + 2)), Signal(WORDS(self.config))
        with m.Switch(looked):
            for number in range(STREAMS):
                with m.Case(number):
                    m.d.comb += here.eq(vector.streams[number])
            with m.Default():
                m.d.comb += [
                    here.address.eq(vector.program),
                    here.count.eq((vector.instructions + (places - 1)) // places),
                ]
        apart, pruned = looked == STREAMS + 1, (asked.words, asked.region)
        with m.If(taken | ~self.pruning):
            m.d.sync += looked.eq(0)
        with m.Elif(self.vectors.valid & ~apart & ~Cat(meet(here, w) for w in pruned).any()):
            m.d.sync += looked.eq(looked + 1)
        return apart

    def _finish(self, m: Module, skipped) -> Value:
        """Tell that something has finished when all before it has; returns how many VECTORs have
        ended that came after the PRUNE at work."""
        early, due = Signal(range(MOST_EARLY + 1)), Signal(range(MOST_EARLY + 3))
        ended, pruned = self.unit.finished | skipped, self.pruner.finished
        at_once = Mux(pruned, early + 1, 0) + (ended & (~self.pruning | pruned))
        m.d.comb += self.finished.eq(due != 0)
        m.d.sync += [
            early.eq(Mux(pruned, 0, early + (ended & self.pruning))),
            due.eq(due - self.finished + at_once),
        ]
        return early
