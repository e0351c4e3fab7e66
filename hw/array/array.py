"""The systolic array: R x C processing elements and the links between them."""

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..layouts.array import group_signature, weight_signature
from ..lib.connect import connect_checked
from ..lib.library import Library, instantiate
from .pe import ProcessingElement


class Array(wiring.Component):
    """Output-stationary array; activations move east, weights and finished sums south.

    Latency: a dot product whose last weight enters the top of column c leaves `sums[c]`
    `latency` cycles later from the bottom row, then one row a cycle (T contexts a row), the
    top row last. Throughput: one slot of C weights a cycle; tiles end at least R·T cycles apart.
    Row r's links run r cycles, and column c's c cycles, behind the first's: the feeders' skew.

    Members
    -------
    west : R group links
    north : C weight links
    sums : C raw sums of `config.sum_bits`
    """

    @staticmethod
    def latency(config: Config) -> int:
        """Cycles, as above."""
        return config.rows - 1 + ProcessingElement.latency(config)

    def __init__(self, config: Config, library: Library | None = None):
        self.config = config
        self.library = library
        super().__init__(
            {
                "west": In(group_signature(config)).array(config.rows),
                "north": In(weight_signature(config)).array(config.columns),
                "sums": Out(config.sum_bits).array(config.columns),
            }
        )

    def elaborate(self, platform):
        m = Module()
        rows, columns = range(self.config.rows), range(self.config.columns)
        grid = [
            [
                # What is on its way at a reset runs out into queues that are emptied, and the
                # issuer's first round clears the sums.
                instantiate(
                    m,
                    f"pe_{r}_{c}",
                    ProcessingElement,
                    self.config,
                    library=self.library,
                    reset=False,
                )
                for c in columns
            ]
            for r in rows
        ]
        for r in rows:
            for c in columns:
                west = grid[r][c - 1].east if c else wiring.flipped(self.west[r])
                north = grid[r - 1][c].south if r else wiring.flipped(self.north[c])
                connect_checked(m, west, grid[r][c].west)
                connect_checked(m, north, grid[r][c].north)
                if r:
                    m.d.comb += grid[r][c].sum_north.eq(grid[r - 1][c].sum_south)
        m.d.comb += [self.sums[c].eq(grid[-1][c].sum_south) for c in columns]
        return m
