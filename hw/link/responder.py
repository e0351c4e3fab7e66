"""Responses to the line: a store that keeps the last one, and sends it as often as it is asked."""

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..isa.link_protocol import STORE_BYTES
from ..lib.connect import connect_checked
from .framing import Framer

RESPONSE = wiring.Signature(
    {
        "write": Out(1),
        "address": Out(range(STORE_BYTES)),
        "data": Out(8),
        "send": Out(1),
        "begin": Out(range(STORE_BYTES)),
        "end": Out(range(STORE_BYTES)),
        "sent": In(1),
    }
)
"""Bytes to be kept, and the command to send those from `begin` to `end`, one behind the last: it
stays until they are `sent`."""


class Responder(wiring.Component):
    """Keep bytes, and send a run of them as a frame.

    Latency: 3 cycles to the frame's flag. Throughput: a byte every three cycles, if the line can.
    Stall rule: a byte waits for the line.

    Members
    -------
    i : In RESPONSE; `begin` and `end` differ, and stay while it sends
    o : Out stream of bytes to the line
    """

    def __init__(self, framer=None, store=None):
        self.framer, self._store = framer or Framer(), store
        self.at = Signal(range(STORE_BYTES))
        """One behind the byte that is fetched or sent."""
        super().__init__({"i": In(RESPONSE), "o": Out(stream.Signature(8))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.framer = framer = self.framer
        m.submodules.store = memory = self._store or Memory(shape=8, depth=STORE_BYTES, init=[])
        store, fetch = memory.write_port(), memory.read_port()
        byte, last = Signal(8), self.at == self.i.end
        m.d.comb += [
            store.addr.eq(self.i.address),
            store.data.eq(self.i.data),
            store.en.eq(self.i.write),
            fetch.addr.eq(self.at),
        ]
        with m.FSM() as self.fsm:
            with m.State("IDLE"):
                m.d.sync += self.at.eq(self.i.begin)
                with m.If(self.i.send):
                    m.next = "FETCH"
            with m.State("FETCH"):
                m.d.sync += self.at.eq(self.at + 1)
                m.next = "TAKE"
            with m.State("TAKE"):
                m.d.sync += byte.eq(fetch.data)
                m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += [
                    framer.i.valid.eq(1),
                    framer.i.payload.data.eq(byte),
                    framer.i.payload.last.eq(last),
                ]
                with m.If(framer.i.ready):
                    m.next = "FETCH"
                    with m.If(last):
                        m.d.comb += self.i.sent.eq(1)
                        m.next = "IDLE"
        connect_checked(m, framer.o, wiring.flipped(self.o))
        return m
