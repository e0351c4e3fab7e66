"""The row mover: activations from tensor memory into the banks of the array's rows."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..isa.commands import Target
from ..layouts import READ_PORT, ROWS, write_signature
from ..lib.pipeline import delay
from .memory import TensorMemory


class RowMover(wiring.Component):
    """Take one ROWS after another: group after group, window after window of `lanes` rows.

    Latency: 3 cycles from a ROWS to its first group. Throughput: a word a cycle, also from one
    ROWS to the next. Stall rule: waits for the memory alone.

    Members
    -------
    rows : In stream of layouts.ROWS
    port : Out(layouts.READ_PORT)
    write : Out, the write bus: a chunk is a window
    finished : Out(1), with the last group of a ROWS
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "rows": In(stream.Signature(ROWS(config))),
                "port": Out(READ_PORT(config)),
                "write": Out(write_signature(config)),
                "finished": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, port = self.config, self.port
        lanes, windows = config.lanes, config.rows // config.lanes
        asked, active = Signal(ROWS(config), reset_less=True), Signal()
        # `asked.source` is the next group's word of the first window.
        address, window = Signal.like(port.address[0]), Signal(range(windows))
        taken = port.valid & port.ready
        last_window, last_group = window == windows - 1, asked.groups == 1
        m.d.comb += [
            port.valid.eq(active),
            *(each.eq(address) for each in port.address),
            self.rows.ready.eq(~active | (taken & last_window & last_group)),
        ]
        with m.If(taken):
            m.d.sync += [
                address.eq(Mux(last_window, asked.source, address + asked.pitch)),
                window.eq(Mux(last_window, 0, window + 1)),
            ]
            with m.If(last_window):
                m.d.sync += [
                    asked.source.eq(asked.source + 1),
                    asked.groups.eq(asked.groups - 1),
                    asked.address.eq(asked.address + 1),
                ]
        with m.If(self.rows.ready):
            m.d.sync += [
                active.eq(self.rows.valid),
                asked.eq(self.rows.payload),
                asked.source.eq(self.rows.payload.source + 1),
                address.eq(self.rows.payload.source),
            ]

        token = Signal(
            data.StructLayout({"valid": 1, "address": 16, "chunk": 8, "there": lanes, "end": 1})
        )
        first = window * lanes
        m.d.comb += [
            token.valid.eq(taken),
            token.address.eq(asked.address),
            token.chunk.eq(window),
            token.there.eq(Cat(first + lane < asked.rows for lane in range(lanes))),
            token.end.eq(last_window & last_group),
        ]
        here = delay(m, "fetched", token, TensorMemory.LATENCY)
        size = len(port.data) // lanes
        groups = (
            Mux(there, port.data.word_select(lane, size), 0)
            for lane, there in enumerate(here.there)
        )
        m.d.comb += [
            self.write.valid.eq(here.valid),
            self.write.target.eq(Target.ACTIVATIONS),
            self.write.address.eq(here.address),
            self.write.chunk.eq(here.chunk),
            self.write.data.eq(Cat(groups)),
            self.finished.eq(here.valid & here.end),
        ]
        return m
