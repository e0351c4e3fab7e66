"""Tensor memory: where tensors stay on the device between the host's visits.

    read 0 ─►┬─► [half 0] ─┬─► word 0
    read 1 ─►┴─► [half 1] ─┴─► word 1
    write  ─────► either

A word is a beat of the host stream: one group of M elements for each lane. Each half has a read
and a write port of its own, as block RAM has them everywhere; with copies for a second read the
memory would hold half as much.
"""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from ..buffers.bank import Bank
from ..config import Config
from ..layouts import READ_PORT, WRITE_PORT
from ..lib.library import Library, instantiate


class TensorMemory(wiring.Component):
    """`config.tensor_words` words; the top bit of an address tells which half.

    Latency: `LATENCY` cycles from a read that is taken to its word; a word that is written may be
    read from the next cycle on. Throughput: two reads and a write a cycle if the reads are of
    different halves. Stall rule: of two reads of one half one waits, and is the next to be taken;
    writes never wait. To read and write one word in one cycle is not allowed: whoever sends
    commands sees to that.

    Members
    -------
    reads : 2 x In(layouts.READ_PORT)
    write : In(layouts.WRITE_PORT)
    """

    LATENCY = 2

    def __init__(self, config: Config, library: Library | None = None):
        self.config, self.library = config, library
        super().__init__({"reads": In(READ_PORT(config)).array(2), "write": In(WRITE_PORT(config))})

    def elaborate(self, platform):
        m = Module()
        size = 8 * self.config.stream_bytes, self.config.tensor_words // 2
        halves = [instantiate(m, f"half_{h}", Bank, *size, library=self.library) for h in range(2)]
        one, two = self.reads
        # Whose turn it is where both want one half.
        turn, clash = Signal(), Signal()
        m.d.comb += [
            clash.eq(one.valid & two.valid & (one.address[-1] == two.address[-1])),
            one.ready.eq(~clash | ~turn),
            two.ready.eq(~clash | turn),
        ]
        with m.If(clash):
            m.d.sync += turn.eq(~turn)
        for h, half in enumerate(halves):
            first, second = (p.valid & p.ready & (p.address[-1] == h) for p in self.reads)
            m.d.comb += [
                half.read_en.eq(first | second),
                half.read_address.eq(Mux(second, two.address[:-1], one.address[:-1])),
                half.write_en.eq(self.write.valid & (self.write.address[-1] == h)),
                half.write_address.eq(self.write.address[:-1]),
                half.write_data.eq(self.write.data),
            ]
        for number, port in enumerate(self.reads):
            # A block RAM answers late in its cycle, so its word goes into a register.
            asked, upper = Signal(name=f"asked_{number}"), Signal(name=f"upper_{number}")
            m.d.sync += [
                asked.eq(port.valid & port.ready),
                upper.eq(port.address[-1]),
                port.there.eq(asked),
                port.data.eq(Mux(upper, halves[1].read_data, halves[0].read_data)),
            ]
        return m
