"""Why the array has nothing to issue: each such cycle is charged to one cause."""

from amaranth import Module, Mux
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..isa.engine_counters import CAUSES
from ..isa.engines import PLACES, Engine

WAITED_FOR = (Engine.ROWS, Engine.STORE, Engine.VECTOR, Engine.COPY)
"""By the next RUN; and FILL, whose words are of two kinds."""


class ArrayWaits(wiring.Component):
    """Name the cause of a cycle in which something is under way and the array has no record.

    A RUN that is being read comes before the one that waits, and that before the commands' way. One
    that waits for RUNs before it is as good as read.

    Latency: none.

    Members
    -------
    waits : In(1), such a cycle; without it there is no cause, with it there is one
    reading : In(1), the records of a RUN are being read
    run : In(1), the next RUN waits for nobody
    late : In(1) for each engine, one at most, that the next RUN waits for
    full : In(1) for each engine, one at most, for room in whose queue the command at hand waits,
        and with it the RUNs behind
    setting : In(1), FILL is at work on column settings
    syncs : In(1), a SYNC waits
    starved : In(1), the stream is waited for
    causes : Out, a bit for each of `CAUSES`
    """

    def __init__(self):
        super().__init__(
            {
                "waits": In(1),
                "reading": In(1),
                "run": In(1),
                "late": In(PLACES),
                "full": In(PLACES),
                "setting": In(1),
                "syncs": In(1),
                "starved": In(1),
                "causes": Out(data.StructLayout(dict.fromkeys(CAUSES, 1))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        causes, engines = self.causes, Mux(self.late.any(), self.late, self.full)
        fills = engines[Engine.FILL]
        with m.If(self.waits):
            with m.If(self.reading | self.run | engines[Engine.ARRAY]):
                m.d.comb += causes.array_records.eq(1)
            with m.Elif(engines.any()):
                m.d.comb += [
                    causes.array_fill.eq(fills & ~self.setting),
                    causes.array_settings.eq(fills & self.setting),
                    *(causes[f"array_{e.name.lower()}"].eq(engines[e]) for e in WAITED_FOR),
                ]
            with m.Elif(self.syncs):
                m.d.comb += causes.array_end.eq(1)
            with m.Elif(self.starved):
                m.d.comb += causes.array_host.eq(1)
            with m.Else():
                m.d.comb += causes.array_commands.eq(1)
        return m
