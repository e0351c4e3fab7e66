"""A queue between two streams."""

from amaranth import Module, Signal
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

LARGEST_LUT_RAM = 2048
"""Bits above which a queue is worth a block RAM and the cycle that this takes."""


class Fifo(wiring.Component):
    """First in, first out, for payloads of any shape.

    Latency: 1 cycle when empty, a few if it is in block RAM. Throughput: one a cycle at any depth
    from 2 (`depth` payloads are held). Stall rule: `i.ready` falls only when it is full, and does
    not depend on `o.ready`.

    Members
    -------
    i, o : streams of `shape`
    level : Out(range(depth + 1)), payloads held
    """

    def __init__(self, shape, depth: int):
        if depth < 2:
            raise ValueError(f"a Fifo holds at least 2 payloads, not {depth!r}")
        self.shape = shape
        self.depth = depth
        super().__init__(
            {
                "i": In(stream.Signature(shape)),
                "o": Out(stream.Signature(shape)),
                "level": Out(range(depth + 1)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        raw = Signal(data.StructLayout({"payload": self.shape}))
        width = len(raw.as_value())
        # The plain queue reads from LUT RAM without latency; what is large goes to block RAM.
        small = width * self.depth <= LARGEST_LUT_RAM
        queue = fifo.SyncFIFO if small else fifo.SyncFIFOBuffered
        m.submodules.queue = queue = queue(width=width, depth=self.depth)
        out = Signal(raw.shape())
        m.d.comb += [
            raw.payload.eq(self.i.payload),
            queue.w_data.eq(raw),
            queue.w_en.eq(self.i.valid),
            self.i.ready.eq(queue.w_rdy),
            out.eq(queue.r_data),
            self.o.payload.eq(out.payload),
            self.o.valid.eq(queue.r_rdy),
            queue.r_en.eq(self.o.ready),
            self.level.eq(queue.level),
        ]
        return m
