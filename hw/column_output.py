"""The way out of one column: its channels' settings, the epilogue, and a buffer of results."""

from amaranth import Module, Mux, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from .config import Accumulation, Config
from .epilogue import Epilogue
from .fifo import Fifo
from .fp32_mac import Fp32ToInteger
from .layouts import MODE, channel_signature
from .pipeline import register


class ColumnOutput(wiring.Component):
    """Finish the sums of one column and hold the results until the response writer takes them.

    A channel is one context's bias, scale and exponent in one of two pages. They start as: bias 0,
    and the scale that leaves a sum as it is.

    Latency: a few cycles more than the epilogue's. Throughput: one sum a cycle. The sums do not
    wait: the issuer has made room before a tile ends.

    Members
    -------
    column : In(8), which column this is, for the channel bus
    sum, valid, mode, context : In, a drained sum and what its tile wants
    channel : the channel bus
    o : Out stream of 32-bit results
    overflow, saturated : Out(1), pulses
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "column": In(8),
                "sum": In(config.sum_bits),
                "valid": In(1),
                "mode": In(MODE),
                "context": In(range(config.interleave)),
                "channel": In(channel_signature(config)),
                "o": Out(stream.Signature(32)),
                "overflow": Out(1),
                "saturated": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.epilogue = epilogue = Epilogue(config)
        m.submodules.results = results = Fifo(32, config.output_depth)

        settings = data.StructLayout(
            {"bias": signed(config.accumulator_bits), "scale": 16, "exponent": signed(16)}
        )
        unit = config.format.product_unit_log2
        plain = {"bias": 0, "scale": 1 << 15, "exponent": unit - 15}
        channels = 2 * config.interleave
        m.submodules.settings = memory = Memory(
            shape=settings, depth=channels, init=[plain] * channels
        )
        write, read = memory.write_port(), memory.read_port()
        mine = self.channel.all | (self.channel.column == self.column)
        m.d.comb += [
            write.en.eq(self.channel.valid & mine),
            write.addr.eq(self.channel.channel),
            write.data.bias.eq(self.channel.bias),
            write.data.scale.eq(self.channel.scale),
            write.data.exponent.eq(self.channel.exponent),
        ]

        entry = {
            "valid": self.valid,
            "sum": self.sum.as_signed(),
            "relu": self.mode.relu,
            "format": self.mode.format,
            "address": Mux(self.mode.channel_page, config.interleave, 0) + self.context,
        }
        if config.accumulation is Accumulation.FP32:
            m.submodules.to_integer = to_integer = Fp32ToInteger(config)
            m.d.comb += [to_integer.i.valid.eq(self.valid), to_integer.i.sum.eq(self.sum)]
            for stage in range(to_integer.latency):
                entry = register(m, f"integer_{stage}", entry)
            entry |= {"valid": to_integer.o.valid, "sum": to_integer.o.sum}
        m.d.comb += [read.en.eq(1), read.addr.eq(entry.pop("address"))]
        entry = register(m, "settings", entry)
        m.d.comb += [
            *(getattr(epilogue.i, name).eq(signal) for name, signal in entry.items()),
            epilogue.i.bias.eq(read.data.bias),
            epilogue.i.scale.eq(read.data.scale),
            epilogue.i.exponent.eq(read.data.exponent),
            results.i.valid.eq(epilogue.o.valid),
            results.i.payload.eq(epilogue.o.data),
            self.overflow.eq(epilogue.o.overflow),
            self.saturated.eq(epilogue.o.saturated),
            self.o.valid.eq(results.o.valid),
            self.o.payload.eq(results.o.payload),
            results.o.ready.eq(self.o.ready),
        ]
        return m
