"""A queue between two streams."""

from amaranth import Module, Signal
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

BLOCK_RAM = 2048
"""Bits from which on a queue is worth a block RAM and the cycle that this takes."""


class _BlockRamFifo(fifo.SyncFIFOBuffered):
    """Left alone, Yosys makes LUT RAM of several thousand bits."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        m.submodules.storage.attrs["ram_style"] = "block"
        return m


class Fifo(wiring.Component):
    """First in, first out, for payloads of any shape.

    Latency: 1 cycle when empty; 2 if `registered`, when `o` comes straight from a register, and 3
    from block RAM, which always does, and which is taken from `block_ram` bits on. Throughput: one
    a cycle at any depth from 2 (`depth` payloads are held). Stall rule: `i.ready` falls only when
    it is full, and does not depend on `o.ready`. Depth 0 is no queue: `o` is `i`.

    Members
    -------
    i, o : streams of `shape`
    level : Out(range(depth + 1)), payloads held
    """

    def __init__(self, shape, depth: int, registered: bool = False, block_ram: int = BLOCK_RAM):
        if depth < 2 and depth != 0:
            raise ValueError(f"a Fifo holds no payload or at least 2, not {depth!r}")
        self.shape = shape
        self.depth = depth
        self.registered = registered
        self.block_ram = block_ram
        super().__init__(
            {
                "i": In(stream.Signature(shape)),
                "o": Out(stream.Signature(shape)),
                "level": Out(range(depth + 1)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        if self.depth == 0:
            wiring.connect(m, wiring.flipped(self.i), wiring.flipped(self.o))
            return m
        raw = Signal(data.StructLayout({"payload": self.shape}))
        width = len(raw.as_value())
        # The plain queue reads from LUT RAM without latency. What is large goes to block RAM, which
        # answers late in its cycle, so its word goes into a register first.
        small = width * self.depth < self.block_ram or self.depth < 4
        registered = self.registered or not small
        queue = fifo.SyncFIFO if small else _BlockRamFifo
        m.submodules.queue = queue = queue(width=width, depth=self.depth - registered)
        out = Signal(raw.shape(), reset_less=True)
        m.d.comb += [
            raw.payload.eq(self.i.payload),
            queue.w_data.eq(raw),
            queue.w_en.eq(self.i.valid),
            self.i.ready.eq(queue.w_rdy),
            self.o.payload.eq(out.payload),
        ]
        if not registered:
            m.d.comb += [
                out.eq(queue.r_data),
                self.o.valid.eq(queue.r_rdy),
                queue.r_en.eq(self.o.ready),
                self.level.eq(queue.level),
            ]
        else:
            m.d.comb += [
                queue.r_en.eq(~self.o.valid | self.o.ready),
                self.level.eq(queue.level + self.o.valid),
            ]
            with m.If(queue.r_en):
                m.d.sync += [out.eq(queue.r_data), self.o.valid.eq(queue.r_rdy)]
        return m
