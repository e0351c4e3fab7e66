"""The best dense-only processing element, to measure what the N:M selector adds.

The same multiply-accumulate and drain chain; one activation a cycle, no group and no index. Only
benchmarks use it.
"""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ...hw.array.exact_mac import ExactMac
from ...hw.config import Config
from ...hw.layouts.array import operand
from ...hw.lib.library import Library, instantiate


class DenseProcessingElement(wiring.Component):
    """One multiplier that multiplies what arrives: `ProcessingElement` without a selector.

    Latency: 1 cycle to `east` and `south`; `latency` cycles from a dot product's last pair to
    `sum_south`. Throughput: one pair a cycle, no stalls.

    Members
    -------
    west, east : activations
    north, south : weights; `last_north`, `last_south` end a dot product
    sum_north, sum_south : the drain chain
    """

    @staticmethod
    def latency(config: Config) -> int:
        """Cycles, as above."""
        return 1 + ExactMac.latency(config) + config.interleave + 1

    def __init__(self, config: Config):
        self.config = config
        element = operand(config.format)
        super().__init__(
            {
                "west": In(element),
                "east": Out(element),
                "north": In(element),
                "south": Out(element),
                "last_north": In(1),
                "last_south": Out(1),
                "sum_north": In(config.sum_bits),
                "sum_south": Out(config.sum_bits),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.mac = mac = ExactMac(self.config)
        m.d.sync += [
            self.east.eq(self.west),
            self.south.eq(self.north),
            self.last_south.eq(self.last_north),
        ]
        m.d.comb += [
            mac.activation.eq(self.east),
            mac.weight.eq(self.south),
            mac.last.eq(self.last_south),
        ]
        hop = [
            Signal(self.config.sum_bits, name=f"drain_{i}", reset_less=True)
            for i in range(self.config.interleave + 1)
        ]
        m.d.sync += hop[0].eq(Mux(mac.done, mac.sum, self.sum_north))
        m.d.sync += [after.eq(before) for before, after in zip(hop, hop[1:], strict=False)]
        m.d.comb += self.sum_south.eq(hop[-1])
        return m


class DenseArray(wiring.Component):
    """R x C dense-only processing elements, linked as in `hw.array.array.Array`.

    Members
    -------
    west : R activations; north : C weights; last : C ends of dot products
    sums : C raw sums of `config.sum_bits`
    """

    @staticmethod
    def latency(config: Config) -> int:
        """Cycles, as above."""
        return config.rows - 1 + DenseProcessingElement.latency(config)

    def __init__(self, config: Config, library: Library | None = None):
        self.config = config
        self.library = library
        element = operand(config.format)
        super().__init__(
            {
                "west": In(element).array(config.rows),
                "north": In(element).array(config.columns),
                "last": In(1).array(config.columns),
                "sums": Out(config.sum_bits).array(config.columns),
            }
        )

    def elaborate(self, platform):
        m = Module()
        north, last = list(self.north), list(self.last)
        sums = [None] * self.config.columns
        for r in range(self.config.rows):
            west = self.west[r]
            for c in range(self.config.columns):
                kind, name = DenseProcessingElement, f"pe_{r}_{c}"
                pe = instantiate(m, name, kind, self.config, library=self.library)
                m.d.comb += [
                    pe.west.eq(west),
                    pe.north.eq(north[c]),
                    pe.last_north.eq(last[c]),
                ]
                if sums[c] is not None:
                    m.d.comb += pe.sum_north.eq(sums[c])
                west, north[c], last[c], sums[c] = pe.east, pe.south, pe.last_south, pe.sum_south
        m.d.comb += [self.sums[c].eq(sums[c]) for c in range(self.config.columns)]
        return m
