"""Tally: whatever is read is the number of events, also of one that comes in every cycle, and
while the bus reads as often as it may. ArrayWaits: one cause a cycle."""

from amaranth import Cat, Module, Signal
from amaranth.hdl import Assert, Assume, Cover
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from ...hw.control.array_waits import ArrayWaits
from ...hw.control.tally import Tally
from ...hw.isa.engines import PLACES


class TallyProof(wiring.Component):
    """Counts every event apart, and looks at each value that is read."""

    def __init__(self, size: int, bits: int):
        self.size, self.bits = size, bits
        super().__init__(
            {"events": In(size), "clear": In(1), "read": In(1), "index": In(range(size))}
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.tally = tally = Tally(self.size, self.bits)
        was_read = Signal()
        m.d.sync += was_read.eq(self.read)
        m.d.comb += [
            tally.events.eq(self.events),
            tally.clear.eq(self.clear),
            tally.read.eq(self.read),
            tally.index.eq(self.index),
            Assume(~(self.read & was_read)),
            Assume(self.index < self.size),
        ]
        seen = Signal(self.size)
        m.d.sync += seen.eq(self.events)
        for n in range(self.size):
            count = Signal(self.bits, name=f"count_{n}")
            m.d.sync += count.eq(count + seen[n])
            with m.If(self.clear):
                m.d.sync += count.eq(0)
            with m.If(self.read & (self.index == n)):
                m.d.comb += [Assert(tally.value == count), Cover(count > 8)]
        return m


class ArrayWaitsProof(wiring.Component):
    """Of one cycle, in which anything may be."""

    def __init__(self):
        names = ("waits", "reading", "run", "setting", "syncs", "starved")
        super().__init__(
            {name: In(1) for name in names} | {name: In(PLACES) for name in ("late", "full")}
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.array_waits = array_waits = ArrayWaits()
        for name in self.signature.members:
            m.d.comb += getattr(array_waits, name).eq(getattr(self, name))
        causes, late = array_waits.causes.as_value(), self.late
        engines = self.reading | self.run | late.any() | self.full.any()
        m.d.comb += [
            Assume((late & (late - 1)) == 0),
            Assume((self.full & (self.full - 1)) == 0),
            Assert(causes.any() == self.waits),
            Assert((causes & (causes - 1)) == 0),
            Assert(
                ~(engines & self.waits)
                | ~Cat(
                    array_waits.causes[name]
                    for name in ("array_host", "array_commands", "array_end")
                ).any()
            ),
            *(Cover(cause) for cause in causes),
        ]
        return m
