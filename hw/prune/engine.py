"""The vector unit and the pruner, by turns: this one prunes what that one has updated."""

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..layouts.engines import VECTOR_WORK
from ..layouts.tensor import at_work
from ..lib.connect import connect_checked, either
from ..lib.library import Library
from ..tensor.share import PortShare
from ..vector.unit import VectorUnit
from .pruner import Pruner


class VectorEngine(wiring.Component):
    """Carry out VECTORs and PRUNEs, one after another.

    Latency, throughput: as of `VectorUnit` and `Pruner`, and a cycle from one to the next. Stall
    rule: as theirs.

    Members
    -------
    vectors : In stream of layouts.VECTOR_WORK
    unsafe : In(1), a VECTOR that is guarded does nothing if it begins now
    others : as of `VectorUnit`
    """

    def __init__(self, config: Config, library: Library | None = None):
        self.config = config
        self.unit, self.pruner = VectorUnit(config, library), Pruner(config)
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
        busy, skipped, work = Signal(), Signal(), self.vectors.payload
        prunes, skips = work.prunes, work.guarded & self.unsafe
        offered, taken = self.vectors.valid & ~busy, self.vectors.valid & self.vectors.ready
        free = Mux(prunes, pruner.prunes.ready, unit.vectors.ready)
        m.d.sync += skipped.eq(taken & skips)
        m.d.comb += [
            unit.vectors.valid.eq(offered & ~prunes & ~skips),
            unit.vectors.payload.eq(work.fields.vector),
            pruner.prunes.valid.eq(offered & prunes),
            pruner.prunes.payload.eq(work.fields.prune),
            self.vectors.ready.eq(~busy & (skips | free)),
            unit.grant.eq(self.grant),
            pruner.grant.eq(self.grant),
            self.overflow.eq(unit.overflow),
            self.saturated.eq(unit.saturated),
            self.waits.eq(unit.waits | pruner.waits),
            self.fault.eq(unit.fault | pruner.fault),
            self.finished.eq(unit.finished | pruner.finished | skipped),
        ]
        with m.If(taken):
            m.d.sync += busy.eq(1)
        with m.Elif(self.finished):
            m.d.sync += busy.eq(0)
        either(m, self.write, pruner.write.enable.any(), pruner.write, unit.write)
        return m
