"""The processing element: N:M selector, multiply-accumulate, and one place in the drain chain.

                    north: weight, index, last        sum_north
                               │                          │
west: group ──►[ group register ]──► east                 ▼
                      │ select by index            ┌─► (mux) ─►[ T+1 registers ]─► sum_south
                      ▼                            │
                   ( MAC ) ── finished sum ────────┘
                               │
                    south: weight, index, last
"""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..layouts.array import group_signature, weight_signature
from ..lib.connect import connect_checked
from .mac import mac_type
from .selector import Selector


class ProcessingElement(wiring.Component):
    """One multiplier that works on every kept weight of its column, dense or N:M.

    Latency: 1 cycle to `east` and `south`; a dot product reaches `sum_south` `latency` cycles
    after its last weight arrived. Throughput: one weight a cycle, no stalls; one finished sum
    every cycle of T, and T·R cycles between the tiles of one array (the drain chain's rule).

    A hop of the drain chain takes T + 1 cycles where weights take one: so the sums of a
    column, finished one cycle after another, leave one cycle after another, bottom row first.

    Members
    -------
    west, east : groups of activations
    north, south : weights
    sum_north, sum_south : the drain chain, raw bits of `config.sum_bits`
    """

    @staticmethod
    def latency(config: Config) -> int:
        """Cycles, as above."""
        return Selector.latency + mac_type(config).latency(config) + config.interleave + 1

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "west": In(group_signature(config)),
                "east": Out(group_signature(config)),
                "north": In(weight_signature(config)),
                "south": Out(weight_signature(config)),
                "sum_north": In(config.sum_bits),
                "sum_south": Out(config.sum_bits),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.selector = selector = Selector(self.config)
        m.submodules.mac = mac = mac_type(self.config)(self.config)
        connect_checked(m, wiring.flipped(self.west), selector.west)
        connect_checked(m, wiring.flipped(self.north), selector.north)
        connect_checked(m, selector.east, wiring.flipped(self.east))
        connect_checked(m, selector.south, wiring.flipped(self.south))
        m.d.comb += [
            mac.activation.eq(selector.activation),
            mac.weight.eq(selector.weight),
            mac.last.eq(selector.last),
        ]
        hop = [
            Signal(self.config.sum_bits, name=f"drain_{i}", reset_less=True)
            for i in range(self.config.interleave + 1)
        ]
        m.d.sync += hop[0].eq(Mux(mac.done, mac.sum, self.sum_north))
        m.d.sync += [after.eq(before) for before, after in zip(hop, hop[1:], strict=False)]
        m.d.comb += self.sum_south.eq(hop[-1])
        return m
