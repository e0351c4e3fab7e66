"""CRC-16/CCITT-FALSE, some halfwords a cycle: what guards the headers of commands and responses."""

from amaranth import Cat, Module, ResetInserter
from amaranth.lib import wiring
from amaranth.lib.crc.catalog import CRC16_IBM_3740
from amaranth.lib.wiring import In, Out


class HeaderCrc(wiring.Component):
    """The running CRC of a header's bytes, `bits` of them a cycle, the lowest byte first.

    Latency: `crc` covers bytes in the cycle after them. Throughput: `bits` a cycle, no stalls.

    Members
    -------
    clear : In(1), begin a new header
    valid, data : In, its next bytes
    crc : Out(16)
    """

    def __init__(self, bits: int = 16):
        self.bits = bits
        super().__init__({"clear": In(1), "valid": In(1), "data": In(bits), "crc": Out(16)})

    def elaborate(self, platform):
        m = Module()
        crc = CRC16_IBM_3740(data_width=self.bits).create()
        # Its own `start` may come with data, which takes a multiplexer before every gate.
        m.submodules.crc = ResetInserter(self.clear)(crc)
        m.d.comb += [
            crc.valid.eq(self.valid),
            crc.data.eq(Cat(self.data.word_select(n, 8) for n in reversed(range(self.bits // 8)))),
            self.crc.eq(crc.crc),
        ]
        return m
