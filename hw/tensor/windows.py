"""From window to window of a RUN's rows in tensor memory, in the order in which its sums drain."""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..layouts.output import WINDOWS
from ..lib.pipeline import times


class Windows(wiring.Component):
    """Tile after tile, each from its last window to its first.

    Latency: none from `place` to the first window's address; after `next` the next window's shows a
    cycle later. Throughput: a window a cycle.

    Members
    -------
    place : In(layouts.WINDOWS), of the RUN whose window it is
    next : In(1), go to the next window; `final` : In(1), which is another RUN's
    address : Out, the window's first word
    outside : Out(1), the window is not among those that the RUN may touch
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "place": In(WINDOWS(config)),
                "next": In(1),
                "final": In(1),
                "address": Out(range(config.tensor_words)),
                "outside": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, place = self.config, self.place
        windows = config.rows // config.lanes
        # A window has the same place in a tile as in the one before: no RUN ends within one.
        window = Signal(range(windows), init=windows - 1)
        most = config.tensor_words + 2 * windows * ((1 << 16) - 1)
        here, later = Signal(range(most)), Signal(range(most))
        fresh, beyond, left_out = Signal(init=1), Signal(), Signal()
        m.d.comb += [
            here.eq(Mux(fresh, place.start, later)),
            self.address.eq(here),
            self.outside.eq((here > place.limit) | (~fresh & beyond)),
        ]
        with m.If(self.next):
            m.d.sync += [
                fresh.eq(self.final),
                window.eq(Mux(window == 0, windows - 1, window - 1)),
                later.eq(here - place.pitch),
            ]
            with m.If(fresh):
                m.d.sync += beyond.eq(0)
            # A tile's highest address comes first. Where it is outside, so are all later tiles;
            # their addresses, which would grow without end, are not looked at.
            with m.If(window == windows - 1):
                m.d.sync += left_out.eq(self.outside)
            with m.If(window == 0):
                m.d.sync += [
                    later.eq(here + times(place.pitch, 2 * windows) - place.pitch),
                    beyond.eq(left_out if windows > 1 else self.outside),
                ]
        return m
