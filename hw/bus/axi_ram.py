"""A memory on the chip behind an AXI4 port: external memory where there is no DRAM."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In

from ..lib.fifo import Fifo
from .axi import Axi4

ANSWERS = 8
"""Beats that are read before they are taken: more than are on their way when nobody waits."""


class AxiRam(wiring.Component):
    """2**`address_bits` bytes; INCR bursts of whole beats, as `hw.bus.bursts` makes them.

    Latency: 4 cycles from a read's request to its first beat, 2 from a write's last beat to its
    acknowledgement. Throughput: a beat a cycle each way but for 1 cycle a burst. Stall rule: one
    burst each way at a time; waits for its master. A beat that is read in the cycle in which it is
    written is not defined: whoever sends commands sees to that.

    Members
    -------
    s_axi : In Axi4
    """

    def __init__(self, width: int, address_bits: int):
        self.width, self.address_bits = width, address_bits
        super().__init__({"s_axi": In(Axi4(width, address_bits))})

    def elaborate(self, platform):
        m = Module()
        shift = (self.width // 8).bit_length() - 1
        m.submodules.memory = memory = Memory(
            shape=self.width,
            depth=1 << self.address_bits - shift,
            init=[],
            attrs={"no_rw_check": 1},
        )
        self._read(m, memory.read_port(), shift)
        self._write(m, memory.write_port(granularity=8), shift)
        return m

    def _read(self, m: Module, port, shift: int):
        bus = self.s_axi
        answer = data.StructLayout({"data": self.width, "id": 1, "last": 1})
        m.submodules.answers = answers = Fifo(answer, ANSWERS)
        left, number, place = Signal(9), Signal(), Signal(self.address_bits - shift)
        room = Signal(range(ANSWERS + 1), init=ANSWERS)
        begun, asked = bus.arvalid & bus.arready, (left != 0) & (room != 0)
        m.d.comb += bus.arready.eq(left == 0)
        with m.If(begun):
            m.d.sync += [
                left.eq(bus.arlen + 1),
                number.eq(bus.arid),
                place.eq(bus.araddr[shift:]),
            ]
        with m.Elif(asked):
            m.d.sync += [left.eq(left - 1), place.eq(place + 1)]
        m.d.sync += room.eq(room - asked + (bus.rvalid & bus.rready))
        # A block RAM answers late in its cycle, so its word goes into a register.
        there, ready = Signal(2), Signal(answer)
        last, whose = Signal(), Signal()
        m.d.sync += [
            there.eq(there << 1 | asked),
            last.eq(left == 1),
            whose.eq(number),
            ready.last.eq(last),
            ready.id.eq(whose),
        ]
        m.d.sync += ready.data.eq(port.data)
        m.d.comb += [
            port.en.eq(asked),
            port.addr.eq(place),
            answers.i.valid.eq(there[-1]),
            answers.i.payload.eq(ready),
            bus.rvalid.eq(answers.o.valid),
            bus.rdata.eq(answers.o.payload.data),
            bus.rid.eq(answers.o.payload.id),
            bus.rlast.eq(answers.o.payload.last),
            answers.o.ready.eq(bus.rready),
        ]

    def _write(self, m: Module, port, shift: int):
        bus = self.s_axi
        writing, place = Signal(), Signal(self.address_bits - shift)
        moved = bus.wvalid & bus.wready
        m.d.comb += [
            bus.awready.eq(~writing & ~bus.bvalid),
            bus.wready.eq(writing),
        ]
        with m.If(bus.awvalid & bus.awready):
            m.d.sync += [writing.eq(1), place.eq(bus.awaddr[shift:]), bus.bid.eq(bus.awid)]
        with m.Elif(moved):
            m.d.sync += [place.eq(place + 1), writing.eq(~bus.wlast)]
        with m.If(moved & bus.wlast):
            m.d.sync += bus.bvalid.eq(1)
        with m.Elif(bus.bready):
            m.d.sync += bus.bvalid.eq(0)
        m.d.comb += [
            port.en.eq(Mux(moved, bus.wstrb, 0)),
            port.addr.eq(place),
            port.data.eq(bus.wdata),
        ]
