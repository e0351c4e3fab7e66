"""Counts of many events, most of each in one memory: a third of the logic of as many counters.

events ─► [a few bits of each count] ─► the one that is visited ─┐
                                                                 ├─► the whole count ─┐
          [memory: each count as it was at its last visit] ──────┘                    │
                              └───────────────────────────────────────────────────────┘
"""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

BITS = 32
CYCLES_A_VISIT = 2
"""A read may take every other one."""


class Tally(wiring.Component):
    """Count each of `size` events.

    The low bits of each count run freely. One count after another is visited, a cycle each, often
    enough that its low bits have wrapped once at most since its last visit: then the upper ones are
    one more. A read is a visit out of turn.

    Latency: an event shows two cycles later; none from `index` to `value`. Throughput: all events
    in every cycle, a read in two.

    Members
    -------
    events : In(1) for each
    clear : In(1), all counts to zero
    read : In(1), `value` is taken in this cycle; never in two that follow each other
    index : In, whose count is read
    value : Out(bits), while `read`
    """

    def __init__(self, size: int, bits: int = BITS):
        self.size, self.bits = size, bits
        super().__init__(
            {
                "events": In(size),
                "clear": In(1),
                "read": In(1),
                "index": In(range(size)),
                "value": Out(bits),
            }
        )

    def elaborate(self, platform):
        m = Module()
        size = self.size
        low_bits = (CYCLES_A_VISIT * size + 1).bit_length()
        events, low = Signal(size), Signal(data.ArrayLayout(low_bits, size))
        m.d.sync += events.eq(self.events)
        m.submodules.counts = counts = Memory(shape=self.bits, depth=size, init=[])
        held, write = counts.read_port(domain="comb"), counts.write_port()
        turn, at, fresh = Signal(range(size)), Signal(range(size)), Signal(init=1)
        old, now = Signal(self.bits), low[at]
        high = old[low_bits:] + (now < old[:low_bits])
        m.d.comb += [
            at.eq(Mux(self.read, self.index, turn)),
            held.addr.eq(at),
            # What the memory holds of those that have not had their first turn is older.
            old.eq(Mux(fresh & (at >= turn), 0, held.data)),
            self.value[:low_bits].eq(now),
            self.value[low_bits:].eq(high),
            write.addr.eq(at),
            write.data.eq(self.value),
            write.en.eq(~self.clear),
        ]
        with m.If(self.clear):
            m.d.sync += [low.eq(0), turn.eq(0), fresh.eq(1)]
        with m.Else():
            m.d.sync += [low[n].eq(low[n] + events[n]) for n in range(size)]
            with m.If(~self.read):
                m.d.sync += turn.eq(turn + 1)
                with m.If(turn == size - 1):
                    m.d.sync += [turn.eq(0), fresh.eq(0)]
        return m
