"""Requests off the line: a frame's bytes into a store, until whoever executes it has taken it."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..isa.link_protocol import HEAD_BYTES, STORE_BYTES, STORE_LOG2
from .framing import Deframer

REQUEST = wiring.Signature(
    {
        "pending": Out(1),
        "length": Out(range(STORE_BYTES + 1)),
        "data": Out(8),
        "address": In(range(STORE_BYTES)),
        "taken": In(1),
    }
)
"""A request that came: `pending` until it is `taken`, its bytes at `address` a cycle later."""


class RequestReceiver(wiring.Component):
    """Store the content of one frame, and keep it until it is taken; what comes meanwhile is lost.

    Latency: `pending` a cycle after the flag. Throughput: one byte a cycle. A frame that is too
    short or too long to be a request is dropped, and one whose bytes stop for `watchdog` cycles.

    Members
    -------
    i_valid, i_data : In, a byte from the line
    o : Out REQUEST
    """

    def __init__(self, watchdog: int, deframer=None, store=None):
        self.watchdog = watchdog
        self._deframer, self._store = deframer or Deframer(), store
        super().__init__({"i_valid": In(1), "i_data": In(8), "o": Out(REQUEST)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.deframer = deframer = self._deframer
        m.submodules.store = memory = self._store or Memory(shape=8, depth=STORE_BYTES, init=[])
        store, fetch = memory.write_port(), memory.read_port()
        pending, length = self.o.pending, self.o.length
        silence = Signal(range(self.watchdog + 1))
        m.d.comb += [
            deframer.i_valid.eq(self.i_valid),
            deframer.i_data.eq(self.i_data),
            store.addr.eq(length),
            store.data.eq(deframer.data),
            store.en.eq(deframer.valid & ~pending & ~length[STORE_LOG2]),
            fetch.addr.eq(self.o.address),
            self.o.data.eq(fetch.data),
        ]
        with m.If(self.i_valid | (length == 0) | pending):
            m.d.sync += silence.eq(0)
        with m.Else():
            m.d.sync += silence.eq(silence + 1)
        with m.If(self.o.taken):
            m.d.sync += [pending.eq(0), length.eq(0)]
        with m.Elif(pending):
            pass
        with m.Elif(deframer.flag):
            # A full store is taken for an overrun. Shorter ones are noise, or flags in a row.
            with m.If((length >= HEAD_BYTES) & ~length[STORE_LOG2] & ~deframer.aborted):
                m.d.sync += pending.eq(1)
            with m.Else():
                m.d.sync += length.eq(0)
        with m.Elif(store.en):
            m.d.sync += length.eq(length + 1)
        with m.Elif(silence == self.watchdog):
            m.d.sync += length.eq(0)
        return m
