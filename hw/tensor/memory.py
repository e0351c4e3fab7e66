"""Tensor memory: where tensors stay on the device between the host's visits.

    read 0 ─►┬─► [half 0] ─┬─► word 0
    read 1 ─►┴─► [half 1] ─┴─► word 1
    write  ─────► either

A word is a beat of the host stream: one group of M elements for each lane. Each half has a read
and a write port of its own, as block RAM has them everywhere; with copies for a second read the
memory would hold half as much. A half is made of banks for each unit that is stored by itself.
"""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from ..buffers.bank import Bank
from ..config import Config
from ..layouts.tensor import READ_PORT, WRITE_PORT
from ..lib.library import Library, instantiate


class TensorMemory(wiring.Component):
    """`config.tensor_words` words; the top bit of an address tells which half.

    Latency: `LATENCY` cycles from a read that is taken to its word; a word that is written may be
    read from the next cycle on. Throughput: two reads and a write a cycle if no lane is read twice
    in one half. Stall rule: of two reads of one lane in one half one waits, and is the next to be
    taken; writes never wait. To read and write one lane's group in one cycle gives any value:
    whoever sends commands sees to it that nobody looks at that.

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
        one, two = self.reads
        # Whose turn it is where both want one half.
        turn, clash = Signal(), Signal()
        same = (a[-1] == b[-1] for a, b in zip(one.address, two.address, strict=True))
        m.d.comb += [
            clash.eq(one.valid & two.valid & Cat(same).any()),
            one.ready.eq(~clash | ~turn),
            two.ready.eq(~clash | turn),
        ]
        with m.If(clash):
            m.d.sync += turn.eq(~turn)
        words = [self._half(m, h) for h in range(2)]
        for number, port in enumerate(self.reads):
            # A block RAM answers late in its cycle, so its word goes into a register.
            asked = Signal(name=f"asked_{number}")
            upper = Signal(self.config.lanes, name=f"upper_{number}")
            m.d.sync += [
                asked.eq(port.valid & port.ready),
                upper.eq(Cat(address[-1] for address in port.address)),
                port.there.eq(asked),
                port.data.eq(Cat(map(Mux, upper, words[1], words[0]))),
            ]
        return m

    def _half(self, m: Module, h: int) -> list:
        """The banks of a half; returns what was read, by lane."""
        config, write = self.config, self.write
        width, per_lane = 8 * config.write_bytes, config.group_bytes // config.write_bytes
        word = []
        for lane in range(config.lanes):
            one, two = (port.address[lane] for port in self.reads)
            first, second = (
                port.valid & port.ready & (port.address[lane][-1] == h) for port in self.reads
            )
            address, group = write.address[lane], []
            for unit in range(lane * per_lane, (lane + 1) * per_lane):
                size = width, config.tensor_words // 2
                bank = instantiate(m, f"half_{h}_{unit}", Bank, *size, library=self.library)
                m.d.comb += [
                    bank.read_en.eq(first | second),
                    bank.read_address.eq(Mux(second, two[:-1], one[:-1])),
                    bank.write_en.eq(write.enable[unit] & (address[-1] == h)),
                    bank.write_address.eq(address[:-1]),
                    bank.write_data.eq(write.data.word_select(unit, width)),
                ]
                group.append(bank.read_data)
            word.append(Cat(group))
        return word
