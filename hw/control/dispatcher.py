"""The dispatcher: descriptors to their engines' queues, each with what it waits for."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..isa.engines import PLACES, WAITS_BITS, Engine
from ..layouts.array import RUN
from ..layouts.engines import COPY, STATES, VECTOR_WORK
from ..layouts.tensor import FILL, WALK
from ..lib.connect import connect_checked
from .scoreboard import Gate, Scoreboard

MOVES_AHEAD = 8
"""Descriptors that wait for each engine that moves data."""
INSIDE = 15
"""Descriptors that an engine has begun and not finished, more than any can."""


class Dispatcher(wiring.Component):
    """Queue FILLs, ROWS, RUNs, VECTORs and COPYs, and let each go when what it waits for has been
    finished.

    Latency: 1 cycle if it waits for nothing. Throughput: one in 2 cycles. Stall rule: takes nothing
    while the descriptor's queue is full.

    Members
    -------
    waits : In(30), of the descriptor that is offered; one is at a time, the cycle before too
    none : In(1), likewise: it has no waits
    fills, rows, runs : In streams of layouts.FILL, WALK, RUN
    stores : In(1), the RUN that is offered stores
    fill, row, run : Out streams of the same
    vectors, vector : In and Out stream of layouts.VECTOR_WORK, with a vector unit
    finished : In(1) for each engine, pulses
    working : Out(1) for each engine, not all that it was given was finished a cycle ago
    states : Out(layouts.STATES); of the array, which works on several RUNs, it is what the next one
        waits for, and of the store only whether a RUN is under way that stores

    With external memory also

    copies, copy : In and Out stream of layouts.COPY
    """

    def __init__(self, config: Config):
        self.config = config
        self.gates = {
            Engine.FILL: Gate(FILL(config), MOVES_AHEAD),
            Engine.ROWS: Gate(WALK(config), MOVES_AHEAD),
            Engine.ARRAY: Gate(RUN(config), config.runs_ahead),
        }
        self.vectors_too = bool(config.vector_lanes)
        if self.vectors_too:
            self.gates[Engine.VECTOR] = Gate(VECTOR_WORK(config), MOVES_AHEAD)
        if config.external_bits:
            self.gates[Engine.COPY] = Gate(COPY(config), MOVES_AHEAD)
        self.scoreboard = Scoreboard()
        vectors = {
            "vectors": In(stream.Signature(VECTOR_WORK(config))),
            "vector": Out(stream.Signature(VECTOR_WORK(config))),
        }
        external = {
            "copies": In(stream.Signature(COPY(config))),
            "copy": Out(stream.Signature(COPY(config))),
        }
        super().__init__(
            {
                "waits": In(WAITS_BITS),
                "none": In(1),
                "fills": In(stream.Signature(FILL(config))),
                "rows": In(stream.Signature(WALK(config))),
                "runs": In(stream.Signature(RUN(config))),
                "stores": In(1),
                "fill": Out(stream.Signature(FILL(config))),
                "row": Out(stream.Signature(WALK(config))),
                "run": Out(stream.Signature(RUN(config))),
                "finished": In(PLACES),
                "working": Out(PLACES),
                "states": Out(STATES),
            }
            | (vectors if self.vectors_too else {})
            | (external if config.external_bits else {})
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.scoreboard = scoreboard = self.scoreboard
        m.d.comb += [
            scoreboard.waits.eq(self.waits),
            scoreboard.none.eq(self.none),
            scoreboard.finished.eq(self.finished),
            scoreboard.issued[Engine.STORE].eq(self.runs.valid & self.runs.ready & self.stores),
            scoreboard.empty.eq(Cat(gate.empty for gate in self.gates.values()).all()),
            self.working.eq(scoreboard.working),
            self.states[Engine.STORE].busy.eq(scoreboard.working[Engine.STORE]),
        ]
        ways = [
            (Engine.FILL, self.fills, self.fill),
            (Engine.ROWS, self.rows, self.row),
            (Engine.ARRAY, self.runs, self.run),
        ]
        if self.vectors_too:
            ways.append((Engine.VECTOR, self.vectors, self.vector))
        if self.config.external_bits:
            ways.append((Engine.COPY, self.copies, self.copy))
        for engine, offered, leaving in ways:
            m.submodules[f"gate_{engine.name.lower()}"] = gate = self.gates[engine]
            connect_checked(m, gate.o, wiring.flipped(leaving))
            m.d.comb += [
                gate.i.valid.eq(offered.valid & ~scoreboard.hold),
                offered.ready.eq(gate.i.ready & ~scoreboard.hold),
                gate.i.payload.descriptor.eq(offered.payload),
                gate.i.payload.waits.eq(scoreboard.targets),
                gate.counts.eq(scoreboard.counts),
                scoreboard.issued[engine].eq(offered.valid & offered.ready),
            ]
            self._state(m, engine, gate)
            m.d.comb += self.states[engine].full.eq(offered.valid & ~offered.ready)
        return m

    def _state(self, m: Module, engine: Engine, gate: Gate):
        """Whether an engine has begun what it has not finished; if not, what its next one waits
        for."""
        inside, state = Signal(range(INSIDE + 1), name=f"inside_{engine}"), self.states[engine]
        begins = gate.o.valid & gate.o.ready
        if engine is not Engine.ARRAY:
            m.d.sync += inside.eq(inside + begins - self.finished[engine])
        m.d.comb += [
            state.busy.eq((inside != 0) | gate.o.valid),
            state.waits.eq(Mux(inside != 0, 0, gate.late)),
        ]
